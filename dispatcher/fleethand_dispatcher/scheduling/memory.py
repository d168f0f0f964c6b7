"""What a beat remembers of its own decisions: the records stand where others may write, and can be put back."""

_ENTRIES_MAX = 100_000


class Decided:
    """The newest decision on each entry of the index, as far as this beat made it; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def note(self, entry: str, version: int, due: int) -> None:
        """Remember that the schedule's *version* was decided for all its times until *due*."""
        self._last.pop(entry, None)
        self._last[entry] = (version, due)
        if len(self._last) > _ENTRIES_MAX:
            del self._last[next(iter(self._last))]

    def has(self, entry: str, version: int, due: int) -> bool:
        """Tell whether this time, or one after it, was decided before, or whether the schedule was changed since."""
        return (version, due) <= self._last.get(entry, (0, 0))
