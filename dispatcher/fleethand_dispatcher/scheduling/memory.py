"""What a beat remembers of what it did itself: the records stand where others may write, and can be put back.

Or they are lost: a server that loses power, or is replaced by its replica, forgets what it did last.
"""

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_ENTRIES_MAX = 100_000
HOST_REMEMBERS_MS = 10 * 60 * 1000
"""For so long at least a host knows what it ran: what is sent to it once more, it answers and does not run again."""


class Memory(Generic[T]):
    """The last thing that was done for each entry of the index; what was done longest ago is forgotten first."""

    def __init__(self) -> None:
        self._last: dict[str, T] = {}

    def note(self, entry: str, done: T) -> None:
        """Remember what was done."""
        self._last.pop(entry, None)
        self._last[entry] = done
        if len(self._last) > _ENTRIES_MAX:
            del self._last[next(iter(self._last))]

    def last(self, entry: str) -> T | None:
        """Return what was done last, None if that is not known."""
        return self._last.get(entry)


class Decision(NamedTuple):
    """Which times of a schedule were decided in one step, and when; all are milliseconds since 1970."""

    version: int
    """The schedule's, when it was."""
    first: int
    last: int
    at: int

    def covers(self, version: int, due: int) -> bool:
        """Tell whether a time was decided, in this step or before, or is of a schedule that was changed since."""
        return (version, due) <= (self.version, self.last)

    def can_be_made_again(self, version: int, due: int, now_ms: int) -> bool:
        """Tell whether it was decided in this very step, so lately that no host can have forgotten its run."""
        is_of_it = version == self.version and self.first <= due <= self.last
        return is_of_it and now_ms - self.at <= HOST_REMEMBERS_MS
