"""The lease on the beat: who of several works, on the server's clock, and when it last did.

Its key is also the beat's sign of life.
"""

from typing import TYPE_CHECKING, NamedTuple, cast

from fleethand_dispatcher import keys, scripts

if TYPE_CHECKING:
    import redis


class Holder(NamedTuple):
    """Who holds the lease; times are milliseconds since 1970 on the server's clock."""

    name: str
    epoch: int
    """Grows with every change of hands."""
    at_ms: int
    """When it was last renewed."""
    until_ms: int


class Lease:
    """One lease, as seen by one client."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._script = scripts.load(client, "lease")

    def take(self, name: str, for_ms: int) -> Holder:
        """Take or renew the lease if nobody else holds it; returns who holds it now."""
        answer = cast("list[bytes | int]", self._script(keys=[keys.BEAT], args=[name, for_ms]))
        return _holder(answer)

    def give_back(self, name: str) -> None:
        """Let the next one take it at once, if it is ours."""
        self._script(keys=[keys.BEAT], args=[name, 0])

    def holder(self) -> Holder | None:
        """Return who took it last, None if nobody ever did."""
        facts = cast("list[bytes | None]", self._client.hmget(keys.BEAT, ["holder", "epoch", "at_ms", "until_ms"]))
        known = [fact for fact in facts if fact is not None]
        return _holder(known) if len(known) == len(facts) else None


def _holder(raw: "list[bytes | int] | list[bytes]") -> Holder:
    name, epoch, at_ms, until_ms = raw
    return Holder(name.decode() if isinstance(name, bytes) else str(name), int(epoch), int(at_ms), int(until_ms))
