"""Which executions may be forgotten: those that were reported, and whose order can no longer arrive."""

from fleethand_common.clock import Clock, wall_ms
from fleethand_worker.journal import Entry, Journal

MARGIN_MS = 10 * 60 * 1000
"""How long an execution is kept past its deadline and past its report."""
LIMIT = 10_000
"""How many executions are kept at most; beyond, orders are refused, as forgetting one could run it twice."""


class Janitor:
    """Removes what is no longer needed from the journal."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._deadlines: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        """Tell whether no more executions can be kept."""
        return len(self._deadlines) >= LIMIT

    def keep(self, entry: Entry, deliver_before_ms: int) -> None:
        """Keep an execution at least until its order cannot arrive any more."""
        self._deadlines[entry.invocation_id] = deliver_before_ms

    def clean(self) -> int:
        """Remove what may go and return how much it was."""
        due = [name for name, before in self._deadlines.items() if before + MARGIN_MS < self._clock.now_ms()]
        removed = 0
        for name in due:
            entry = self._journal.entry(name)
            reported_at_ms = entry.marked_at_ms("reported")
            if reported_at_ms is not None and reported_at_ms + MARGIN_MS < wall_ms():
                self._journal.remove(entry)
                del self._deadlines[name]
                removed += 1
        return removed
