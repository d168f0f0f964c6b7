"""Reports up: what must arrive is kept until it was sent, in order; what need not is sent now or never."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from fleethand_common.clock import elapsed_s
from fleethand_common.messages import Finished, Report, encode
from fleethand_worker.journal import Entry
from fleethand_worker.loop import Loop

logger = logging.getLogger(__name__)

AGAIN_S = 300.0
"""Outcomes sent this short a time ago are sent again after a reconnect: the server may have lost its last second."""
MEMORY_LIMIT = 1000
"""Outcomes that no disk would take are kept here; more than this many are the oldest's loss."""
BATCH = 50
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)


class Line(Protocol):
    """The way to the control plane."""

    def push(self, reports: list[bytes]) -> bool:
        """Send reports in this order; tell whether they were taken. Must not raise, nor block for long."""


class Reporter:
    """Sends reports over a line that may be down."""

    def __init__(self, line: Line, loop: Callable[[], Loop | None]) -> None:
        self._line = line
        self._loop = loop
        self._outbox: deque[tuple[Entry | None, Finished | None]] = deque()
        self._sent: deque[tuple[float, Entry]] = deque()
        self._failures = 0
        self._retry_is_due = False

    @property
    def waiting(self) -> int:
        """Return how many outcomes wait to be sent."""
        return len(self._outbox)

    def tell(self, report: Report) -> bool:
        """Send what need not arrive: it is said again, or said by the outcome."""
        return self._line.push([encode(report)])

    def outcome(self, entry: Entry | None, finished: Finished | None = None) -> None:
        """Send an outcome, now or as soon as it goes; from the journal, or from memory if no disk took it."""
        if finished and not self._outbox and self._line.push([encode(finished)]):
            self._was_sent(entry)
            return
        if entry is None and len(self._outbox) >= MEMORY_LIMIT:
            self._forget_oldest_in_memory()
        # What the journal has need not wait in memory too.
        self._outbox.append((entry, None if entry else finished))
        self._retry_later()

    def flush(self) -> None:
        """Send what waits, until the line refuses."""
        while self._outbox:
            batch = [self._outbox[index] for index in range(min(BATCH, len(self._outbox)))]
            known = [(entry, finished or (entry and entry.result())) for entry, finished in batch]
            if not self._line.push([encode(finished) for _, finished in known if finished]):
                self._retry_later()
                return
            self._failures = 0
            for _ in batch:
                self._was_sent(self._outbox.popleft()[0])

    def _was_sent(self, entry: Entry | None) -> None:
        if entry is not None:
            entry.mark("reported")
            self._sent.append((elapsed_s(), entry))

    def reconnected(self) -> None:
        """Send again what may not have survived at the other end, then what waits."""
        self._failures = 0
        self._retry_is_due = False  # its timer may have gone with the connection
        self.forget_old()
        # When they were first sent stays as it is, or a line that flaps would have them sent for ever.
        again = [finished for _, entry in self._sent if (finished := entry.result())]
        for start in range(0, len(again), BATCH):
            if not self._line.push([encode(finished) for finished in again[start : start + BATCH]]):
                return
        self.flush()

    def forget_old(self) -> None:
        """Stop thinking of what was sent long enough ago."""
        while self._sent and self._sent[0][0] < elapsed_s() - AGAIN_S:
            self._sent.popleft()

    def _retry_later(self) -> None:
        loop = self._loop()
        if self._retry_is_due or loop is None:
            return
        self._retry_is_due = True
        loop.call_later(RETRY_S[min(self._failures, len(RETRY_S) - 1)], self._retry)
        self._failures += 1

    def _retry(self) -> None:
        self._retry_is_due = False
        self.flush()

    def _forget_oldest_in_memory(self) -> None:
        for index, (entry, _) in enumerate(self._outbox):
            if entry is None:
                del self._outbox[index]
                logger.error("event=outcome_dropped reason=too-many-in-memory")
                return
