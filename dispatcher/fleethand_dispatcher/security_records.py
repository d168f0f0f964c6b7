"""The counters of what did not look right, by kind, each with when it last happened."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from fleethand_dispatcher import keys

if TYPE_CHECKING:
    import redis


class Counted(NamedTuple):
    """How often something happened, and when it last did, in milliseconds on the server's clock."""

    times: int
    last_at_ms: int


class SecurityRecords:
    """Reads and writes the counters."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def count(self, numbers: Mapping[str, int], at_ms: int) -> None:
        """Add to counters."""
        pipe = self._client.pipeline(transaction=False)
        for kind, number in numbers.items():
            pipe.hincrby(keys.SECURITY, kind, number)
            pipe.hset(keys.SECURITY, f"{kind}@", str(at_ms))
        pipe.execute()

    def read(self) -> dict[str, Counted]:
        """Return all counters, by kind."""
        stored = cast("dict[bytes, bytes]", self._client.hgetall(keys.SECURITY))
        fields = {name.decode(): int(value) for name, value in stored.items()}
        return {kind: Counted(number, fields.get(f"{kind}@", 0)) for kind, number in fields.items() if kind[-1:] != "@"}
