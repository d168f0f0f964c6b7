"""Raises alerts: each is counted, and told so seldom that a flood of them can fill no log.

Whoever attacks decides how often something looks wrong, and may invent names without end. So of each kind, from each
host, only the first one is told at once, and then once a minute how many there were; beyond a number of hosts at once,
those of the rest are told together.
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple

from fleethand_common.clock import elapsed_s
from fleethand_dispatcher.audit import AuditEvent
from fleethand_dispatcher.connection import is_servers_fault
from fleethand_dispatcher.security_records import SecurityRecords

logger = logging.getLogger(__name__)

PAUSE_S = 60.0
"""Between two entries on the same thing."""
TOLD_APART = 20
"""Hosts and kinds that get entries of their own at a time."""
_UNKNOWN = "unknown"
_DETAIL_CHARS = 300


class Alert(NamedTuple):
    """Something that does not look right. `actor` is who did it, if that is proven; `target` whom it speaks of."""

    action: str
    reason: str
    actor: str = ""
    target: str = ""
    detail: str = ""
    invoke_id: str = ""
    outcome: Literal["alert", "refused"] = "alert"

    def event(self, count: int) -> AuditEvent:
        """Return the entry of the audit log that tells so many of them."""
        times = f" ({count} times in a minute)" if count > 1 else ""
        return AuditEvent(
            action=self.action,
            actor=self.actor or _UNKNOWN,
            outcome=self.outcome,
            targets=[self.target] if self.target else [],
            detail=f"{self.reason}: {self.detail[:_DETAIL_CHARS]}{times}",
            invoke_id=self.invoke_id,
        )


class _Window:
    def __init__(self, alert: Alert, since_s: float) -> None:
        self.alert = alert
        self.since_s = since_s
        self.untold = 0


class Alerts:
    """Counts alerts and tells of them.

    Args:
        tell: writes an entry of the audit log.
        now_ms: the server's time, for the counters.
        now_s: a counter of seconds.
    """

    def __init__(
        self,
        records: SecurityRecords,
        tell: Callable[[AuditEvent], object],
        *,
        now_ms: Callable[[], int],
        now_s: Callable[[], float] = elapsed_s,
    ) -> None:
        self._records = records
        self._tell = tell
        self._now_ms = now_ms
        self._now_s = now_s
        self._counts: Counter[str] = Counter()
        self._windows: dict[tuple[str, str, str], _Window] = {}

    def count(self, kind: str) -> None:
        """Count what is not worth an alert."""
        self._counts[kind] += 1

    def is_first(self, alert: Alert) -> bool:
        """Tell whether `add` would tell of an alert at once: it is the first of its kind for a while."""
        return self._placed(alert)[0] not in self._windows

    def add(self, alert: Alert) -> None:
        """Count an alert, and tell of it at once if it is the first of its kind; if that fails, the next one is."""
        self.count(f"{alert.action}:{alert.reason}")
        key, alert = self._placed(alert)
        if key in self._windows:
            self._windows[key].untold += 1
            return
        self._say(alert, 1)
        self._windows[key] = _Window(alert, self._now_s())

    def _placed(self, alert: Alert) -> tuple[tuple[str, str, str], Alert]:
        """Return with which others an alert is told, and what is told of it."""
        key = (alert.action, alert.reason, alert.actor or alert.target)
        if key in self._windows or len(self._windows) < TOLD_APART:
            return key, alert
        detail = "on more hosts than can be told one by one"
        return (alert.action, alert.reason, ""), alert._replace(actor="", target="", detail=detail, invoke_id="")

    def flush(self, *, at_the_end: bool = False) -> None:
        """Write the counters, and tell what happened again since it was first told, when its minute is over."""
        if self._counts:
            _try(lambda: self._records.count(self._counts, self._now_ms()))
            self._counts.clear()
        for key, window in list(self._windows.items()):
            if self._now_s() - window.since_s < PAUSE_S and not at_the_end:
                continue
            if window.untold:
                self._say(window.alert, window.untold)
                self._windows[key] = _Window(window.alert, self._now_s())
            else:
                del self._windows[key]

    def _say(self, alert: Alert, count: int) -> None:
        event = alert.event(count)
        logger.warning(
            "event=%s outcome=%s actor=%s targets=%s count=%d detail=%r",
            event.action,
            event.outcome,
            event.actor,
            ",".join(event.targets),
            count,
            event.detail,
        )
        _try(lambda: self._tell(event))


def _try(write: Callable[[], object]) -> None:
    """Write; whoever has broken the counters or the audit log must not have stopped all reports with it."""
    try:
        write()
    except Exception as error:
        if is_servers_fault(error):
            raise
        logger.exception("cannot write down an alert")
