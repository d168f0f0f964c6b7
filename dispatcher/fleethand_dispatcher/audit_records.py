"""The records of the audit log: a stream whose entries have their number in the chain as their id."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from fleethand_dispatcher import keys, scripts

if TYPE_CHECKING:
    import redis

_PAGE = 1000


class StoredEntry(NamedTuple):
    """An entry as it stands in Redis; nothing of it is checked."""

    sequence: int
    body: bytes
    mark: bytes


class End(NamedTuple):
    """The end of the log: the highest number it ever had, and the last entry, which is empty in an empty log."""

    sequence: int
    body: bytes
    mark: bytes
    now_ms: int


class AuditRecords:
    """Reads the log, and writes it at its end."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._script = scripts.load(client, "audit")

    def end(self) -> End:
        """Return where the log ends now, and the server's time."""
        return self.decoded(self._script(keys=[keys.AUDIT]))

    def ask_end(self, pipe: "redis.Redis") -> None:
        """Put the question for `end` into a pipeline, which fails where the server does not know the script yet.

        redis-py would ask for that in a round trip of its own.
        """
        pipe.evalsha(self._script.sha, 1, keys.AUDIT)

    def decoded(self, answer: object) -> End:
        """Return the end that the server answered."""
        sequence, body, mark, now_ms = cast("tuple[bytes, bytes, bytes, int]", answer)
        return End(int(sequence), body, mark, int(now_ms))

    def append(self, after: End, entries: Sequence[StoredEntry]) -> End | None:
        """Append in one step what is chained to *after*; if the log does not end there any more, return its end."""
        flat: list[int | bytes] = [part for entry in entries for part in entry]
        answer = self._script(keys=[keys.AUDIT], args=[after.sequence, after.mark, *flat])
        return None if answer is None else self.decoded(answer)

    def read(self, first: int, last: int | None = None) -> Iterator[StoredEntry]:
        """Yield the entries from number *first* to *last*, or to the end."""
        start, until = f"{first}-0", "+" if last is None else f"{last}-0"
        while found := self._page(start, until):
            yield from (_entry(name, fields) for name, fields in found)
            start = f"({found[-1][0].decode()}"

    def _page(self, start: str, until: str) -> "list[tuple[bytes, dict[bytes, bytes]]]":
        found = self._client.xrange(keys.AUDIT, start, until, count=_PAGE)
        return cast("list[tuple[bytes, dict[bytes, bytes]]]", found)

    def drop_before(self, sequence: int) -> int:
        """Remove the entries before number *sequence*; returns how many."""
        return int(self._client.xtrim(keys.AUDIT, minid=f"{sequence}-0", approximate=False))


def _entry(name: bytes, fields: dict[bytes, bytes]) -> StoredEntry:
    return StoredEntry(int(name.partition(b"-")[0]), fields.get(b"body", b""), fields.get(b"mark", b""))
