"""The reaper of deadlines: sends again what nobody took, asks who is silent, and at last says so.

It judges nobody while reports wait to be read: the answer may be among them.
"""

import logging
from collections import defaultdict

from fleethand_common.commands import RepeatMode
from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.bus import ReportBus
from fleethand_dispatcher.changes import Change, presumption
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.deadlines import stop_deadline
from fleethand_dispatcher.invocation_records import Due
from fleethand_dispatcher.rows import Head
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.stopping import Stopper
from fleethand_dispatcher.store import Store

logger = logging.getLogger(__name__)

_BATCH = 1000
_CLAIM_MS = 10_000
_BUSY_MS = 1_000
_LATE_MS = 2_000
"""A host that refuses an order at the last moment needs a moment to say so."""


class Reaper:
    """Looks at rows whose time has come."""

    def __init__(self, store: Store, reports: ReportBus, courier: Courier, settings: Settings) -> None:
        self._store = store
        self._reports = reports
        self._courier = courier
        self._settings = settings
        self._stopper = Stopper(store, courier, settings)
        self._lease_ms = int(settings.lease_s * 1000)

    def look(self) -> int:
        """Treat the rows that are due, some at a time; returns how many. Whatever waits, orders are sent again."""
        busy = self._reports.backlog() > 0
        now_ms, due = self._store.invocations.due(_BATCH, _CLAIM_MS)
        if not due:
            return 0
        invoke_ids = list({item.invoke_id for item in due})
        heads = dict(zip(invoke_ids, self._store.invocations.heads(invoke_ids), strict=True))
        seen = self._last_seen(due)
        changes: defaultdict[str, list[tuple[Change, str]]] = defaultdict(list)
        again: list[tuple[str, str]] = []
        for item in due:
            head = heads[item.invoke_id]
            change = self._judge(item, head, seen[item.instance_id], now_ms) if head else None
            if busy and change is not None and change.presumed:
                change = Change(i=item.instance_id, kind="later", watch_at=now_ms + _BUSY_MS)
            if change is not None:
                changes[item.invoke_id].append((change, ""))
            elif head is not None:
                again.append((item.invoke_id, item.instance_id))
        if changes:
            self._store.invocations.apply(changes)
        self._courier.send_again(again, "nobody had taken it")
        return len(due)

    def _last_seen(self, due: list[Due]) -> dict[str, int | None]:
        instance_ids = list({item.instance_id for item in due})
        return dict(zip(instance_ids, self._store.instances.seen(instance_ids), strict=True))

    def _judge(self, item: Due, head: Head, seen: int | None, now_ms: int) -> Change | None:
        """Return the change to make, or None where a message must be sent again."""
        row = item.row
        online = seen is not None and now_ms - seen <= self._settings.online_within_s * 1000
        match row.status:
            case InstanceStatus.PENDING if row.accepted_at is None:
                return self._judge_undelivered(item, head, now_ms, online=online)
            case InstanceStatus.PENDING:
                return self._judge_queued(item, head, now_ms)
            case InstanceStatus.RUNNING:
                return self._judge_running(item, now_ms, online=online)
            case InstanceStatus.STOPPING if head.snapshot.repeat_mode is RepeatMode.PERIOD:
                self._stopper.pass_on(item.invoke_id, [item.instance_id], now_ms)
                return Change(i=item.instance_id, kind="later", watch_at=now_ms + self._lease_ms)
            case InstanceStatus.STOPPING:
                return self._judge_stopping(item, head, now_ms, online=online)
            case _:
                return Change(i=item.instance_id, kind="later", watch_at=now_ms + self._lease_ms)

    def _judge_undelivered(self, item: Due, head: Head, now_ms: int, *, online: bool) -> Change | None:
        if now_ms < head.deliver_before + _LATE_MS:
            wait_until = head.deliver_before + _LATE_MS
            if online and now_ms < head.deliver_before:
                return None
            return Change(i=item.instance_id, kind="later", watch_at=wait_until)
        code = InstanceErrorCode.DELIVERY_TIMEOUT if online else InstanceErrorCode.CLIENT_NOT_ONLINE
        return presumption(item.instance_id, InstanceStatus.PENDING, code, INSTANCE_ERRORS[code].info, at_ms=now_ms)

    def _judge_queued(self, item: Due, head: Head, now_ms: int) -> Change:
        if now_ms < head.deliver_before + self._lease_ms:
            return Change(i=item.instance_id, kind="later", watch_at=head.deliver_before + self._lease_ms)
        info = "The host had taken the command, has not said that it started it, and must not start it any more."
        code = InstanceErrorCode.DELIVERY_TIMEOUT
        return presumption(item.instance_id, InstanceStatus.PENDING, code, info, at_ms=now_ms)

    def _judge_running(self, item: Due, now_ms: int, *, online: bool) -> Change | None:
        if online and item.row.asked_count == 0:
            self._courier.ask_again(item.invoke_id, item.instance_id, item.row, now_ms)
            return None
        return _silent(item.instance_id, InstanceStatus.RUNNING, now_ms)

    def _judge_stopping(self, item: Due, head: Head, now_ms: int, *, online: bool) -> Change | None:
        deadline = stop_deadline(item.row, head, self._lease_ms)
        if now_ms < deadline:
            if online:
                return None
            return Change(i=item.instance_id, kind="later", watch_at=deadline)
        if item.row.started_at is None:
            info = "The host has not confirmed it; it must not start the command any more."
            return presumption(item.instance_id, InstanceStatus.STOPPING, None, info, at_ms=now_ms)
        return _silent(item.instance_id, InstanceStatus.STOPPING, now_ms)


def _silent(instance_id: str, current: InstanceStatus, now_ms: int) -> Change:
    code = InstanceErrorCode.CLIENT_NOT_RESPONSE
    return presumption(instance_id, current, code, INSTANCE_ERRORS[code].info, at_ms=now_ms)
