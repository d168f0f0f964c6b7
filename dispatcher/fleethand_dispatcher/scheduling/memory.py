"""What a beat remembers of what it did itself: the records stand where others may write, and can be put back."""

_ENTRIES_MAX = 100_000


class Memory:
    """The newest of what was done for each entry of the index; the entries used least recently are forgotten first."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, ...]] = {}

    def note(self, entry: str, *mark: int) -> None:
        """Remember that everything of *entry* until *mark* is done."""
        self._newest.pop(entry, None)
        self._newest[entry] = mark
        if len(self._newest) > _ENTRIES_MAX:
            del self._newest[next(iter(self._newest))]

    def has(self, entry: str, *mark: int) -> bool:
        """Tell whether *mark*, or one after it, was done before."""
        return mark <= self._newest.get(entry, ())
