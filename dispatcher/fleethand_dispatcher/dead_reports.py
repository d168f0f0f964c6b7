"""Reports that could not be used: kept for a person to look at, newest first."""

from typing import TYPE_CHECKING, cast

import msgspec

from fleethand_common import clock
from fleethand_dispatcher import keys
from fleethand_dispatcher.models import DeadReport

if TYPE_CHECKING:
    import redis


class DeadReports:
    """The list of reports that were set aside."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def newest(self, count: int) -> list[DeadReport]:
        """Return the newest ones."""
        raw = cast("list[bytes]", self._client.lrange(keys.DEAD_REPORTS, 0, count - 1))
        entries = [msgspec.json.decode(entry) for entry in raw]
        return [DeadReport(at=clock.to_datetime(e["at"]), reason=e["reason"], body=e["body"]) for e in entries]

    def drop(self) -> int:
        """Forget them all; returns how many there were."""
        pipe = self._client.pipeline(transaction=True)
        pipe.llen(keys.DEAD_REPORTS)
        pipe.delete(keys.DEAD_REPORTS)
        return cast("int", pipe.execute()[0])
