"""Tells of messages that were not trusted: a line in the log and a report, and no more than anybody can use."""

import logging

from fleethand_common.clock import Clock, elapsed_s
from fleethand_common.messages import Refusal, Refused
from fleethand_worker.reporter import Reporter

logger = logging.getLogger(__name__)

PER_SECOND = 20
"""Whoever floods a host with garbage gets no more than this out of it."""


class Refusals:
    """Reports refused messages in this host's name; best effort, and the rest is counted."""

    def __init__(self, instance_id: str, reporter: Reporter, clock: Clock) -> None:
        self._instance_id = instance_id
        self._reporter = reporter
        self._clock = clock
        self._second = 0
        self._told = 0
        self.untold = 0
        """How many were not reported since the last one that was."""

    def tell(self, reason: Refusal, detail: str, invocation_id: str = "") -> None:
        """Report that a message was refused; *detail* must hold nothing of its content."""
        second = int(elapsed_s())
        if second != self._second:
            self._second, self._told = second, 0
        if self._told >= PER_SECOND:
            self.untold += 1
            return
        self._told += 1
        logger.warning("event=order_refused reason=%s invocation=%s text=%r", reason, invocation_id or "-", detail)
        self._send(reason, detail, invocation_id)

    def flush(self) -> None:
        """Say how many were counted and not told, once the flood is over."""
        if self.untold and int(elapsed_s()) != self._second:
            logger.warning("event=order_refused reason=several count=%d", self.untold)
            self._send(Refusal.UNSIGNED, "too many at once to tell each")

    def _send(self, reason: Refusal, detail: str, invocation_id: str = "") -> None:
        if self.untold:
            detail = f"{detail}; {self.untold} more before it"
        report = Refused(
            instance_id=self._instance_id,
            at_ms=self._clock.now_ms(),
            reason=reason,
            detail=detail,
            invocation_id=invocation_id,
        )
        if self._reporter.tell(report):
            self.untold = 0
