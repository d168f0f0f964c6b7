"""Which executions may be forgotten: those that were reported, and whose order can never be taken again.

Not the clock says so, which a server that lies can set back, but the latest time that was ever signed.
"""

from collections.abc import Callable

from fleethand_common.clock import Clock, wall_ms
from fleethand_common.limits import DELIVER_WITHIN_MAX_S
from fleethand_worker.journal import Entry, Journal

MARGIN_MS = 10 * 60 * 1000
"""How long an execution is kept past its deadline and past its report."""
UNKNOWN_MS = DELIVER_WITHIN_MAX_S * 1000
"""How long an order may still arrive of which nobody knows any more until when it may."""
LIMIT = 10_000
"""How many executions are kept at most; beyond, orders are refused, as forgetting one could run it twice."""


class Janitor:
    """Removes what is no longer needed from the journal."""

    def __init__(self, journal: Journal, clock: Clock, write_floor: Callable[[], None]) -> None:
        self._journal = journal
        self._clock = clock
        self._write_floor = write_floor
        self._deadlines: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        """Tell whether no more executions can be kept."""
        return len(self._deadlines) >= LIMIT

    def keep(self, entry: Entry, deliver_before_ms: int) -> None:
        """Keep an execution at least until its order cannot arrive any more."""
        self._deadlines[entry.invocation_id] = deliver_before_ms

    def is_over(self, deliver_before_ms: int) -> bool:
        """Tell whether an order can never be taken again, so that nothing need be remembered of it."""
        return deliver_before_ms + MARGIN_MS < self._clock.floor_ms

    def clean(self) -> int:
        """Remove what may go and return how much it was."""
        due = [entry for name, before in self._deadlines.items() if (entry := self._forgettable(name, before))]
        if not due:
            return 0
        try:
            self._write_floor()  # first: what is forgotten must not become new again by a restart
        except OSError:
            return 0
        for entry in due:
            self._journal.remove(entry)
            del self._deadlines[entry.invocation_id]
        return len(due)

    def _forgettable(self, name: str, deliver_before_ms: int) -> Entry | None:
        if not self.is_over(deliver_before_ms):
            return None
        entry = self._journal.entry(name)
        reported_at_ms = entry.marked_at_ms("reported")
        return entry if reported_at_ms is not None and reported_at_ms + MARGIN_MS < wall_ms() else None
