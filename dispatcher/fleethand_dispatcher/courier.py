"""Sends orders and stops to hosts, first or again, and notes in the rows that it did. The only sender."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from fleethand_common import messages
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.bus import Message, OrderBus
from fleethand_dispatcher.changes import Change
from fleethand_dispatcher.deadlines import stop_deadline
from fleethand_dispatcher.envelope import order_parts, stop_parts
from fleethand_dispatcher.rows import Head, Row
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

_USEFUL_MS = 10_000
"""A message stays this long past the delivery window, so that a host whose clock is a little off can refuse it."""
_BACKOFF_MAX_S = 60.0
_TRIES_LEFT = 4


class Courier:
    """Hands messages to the bus; a row is marked before its message is out, so that a stop cannot slip between."""

    def __init__(self, store: Store, bus: OrderBus, settings: Settings) -> None:
        self._store = store
        self._bus = bus
        self._settings = settings

    def send_first(
        self, order: messages.ExecutionOrder, letter: bytes, instance_ids: Sequence[str], now_ms: int
    ) -> None:
        """Publish a new invocation's order; its rows were created as sent."""
        parts = order_parts(letter, invoke_id=order.invocation_id, command_name=order.command_name, attempt=1)
        useful_ms = order.deliver_before_ms - now_ms + _USEFUL_MS
        message = Message(parts, control=False, useful_ms=useful_ms, invoke_id=order.invocation_id)
        self._bus.publish(message, instance_ids)

    def send_again(self, pairs: Iterable[tuple[str, str]], why: str) -> None:
        """Send each (invocation, instance) what it still must get, by the state of its row: the order, or a stop.

        Args:
            why: what the row's story says of it.
        """
        groups = _grouped(pairs)
        if not groups:
            return
        now_ms = self._store.now_ms()
        # asked once for all, so that of several orders that a host lost each is put into its queue
        idle = self._bus.without_orders({i for instance_ids in groups.values() for i in instance_ids})
        for invoke_id, instance_ids in groups.items():
            rows = dict(zip(instance_ids, self._store.invocations.rows(invoke_id, instance_ids), strict=True))
            waiting = {i: row for i, row in rows.items() if row and row.status is InstanceStatus.PENDING}
            stopping = {i: row for i, row in rows.items() if row and row.status is InstanceStatus.STOPPING}
            if waiting:
                self._send_order(invoke_id, waiting, now_ms, why, idle)
            if stopping:
                self.send_stop(invoke_id, stopping, now_ms)

    def ask_again(self, invoke_id: str, instance_id: str, row: Row, now_ms: int) -> None:
        """Send an order that a host has already taken once more: it answers from its journal how things stand."""
        look_at = now_ms + int(self._settings.lease_s * 1000)
        change = Change(i=instance_id, kind="later", watch_at=look_at, detail="the host is asked how it stands")
        self._store.invocations.apply({invoke_id: [(change, "")]})
        head = self._store.invocations.head(invoke_id)
        if head is not None:
            idle = self._bus.without_orders([instance_id])
            useful_ms = int(self._settings.lease_s * 1000)
            self._publish_order(invoke_id, head, list(idle), row.sent_count + 1, useful_ms)

    def _send_order(self, invoke_id: str, rows: dict[str, Row], now_ms: int, why: str, idle: set[str]) -> None:
        head = self._store.invocations.head(invoke_id)
        if head is None or now_ms >= head.deliver_before:
            return
        changes = []
        for instance_id, row in rows.items():
            again_at = min(head.deliver_before, now_ms + self._order_wait_ms(row, head, now_ms))
            changes.append((Change(i=instance_id, kind="sent", watch_at=again_at, detail=why), ""))
        answers = self._store.invocations.apply({invoke_id: changes})[invoke_id]
        # whatever was stopped since its row was read must not get the order any more
        pending = [i for i, (_, new) in zip(rows, answers, strict=True) if new == InstanceStatus.PENDING]
        if pending:
            attempt = 1 + max(rows[i].sent_count for i in pending)
            useful_ms = head.deliver_before - now_ms + _USEFUL_MS
            self._publish_order(invoke_id, head, [i for i in pending if i in idle], attempt, useful_ms)

    def _publish_order(
        self, invoke_id: str, head: Head, instance_ids: Sequence[str], attempt: int, useful_ms: int
    ) -> None:
        """Publish what was written when the invocation began: nobody here could sign it again."""
        letter = self._store.invocations.letter(invoke_id) if instance_ids else None
        if letter is None:
            return
        name = head.snapshot.command_name
        parts = order_parts(letter, invoke_id=invoke_id, command_name=name, attempt=attempt)
        message = Message(parts, control=False, useful_ms=useful_ms, invoke_id=invoke_id)
        self._bus.publish(message, instance_ids)

    def send_stop(self, invoke_id: str, rows: dict[str, Row], now_ms: int) -> None:
        """Ask hosts to stop an invocation, by the letter that was recorded for it, and note when to ask again."""
        head = self._store.invocations.head(invoke_id)
        letter = self._store.invocations.stop_letter(invoke_id)
        if head is None or letter is None:
            return
        changes = [
            (Change(i=i, kind="later", watch_at=self._stop_again_at(row, head, now_ms), detail="stop sent"), "")
            for i, row in rows.items()
        ]
        self._store.invocations.apply({invoke_id: changes})
        attempt = 1 + max(row.asked_count for row in rows.values())
        parts = stop_parts(letter, invoke_id=invoke_id, attempt=attempt)
        useful_ms = max(head.deliver_before - now_ms, 0) + head.snapshot.timeout_s * 1000 + _USEFUL_MS
        self._bus.publish(Message(parts, control=True, useful_ms=useful_ms, invoke_id=invoke_id), list(rows))

    def _order_wait_ms(self, row: Row, head: Head, now_ms: int) -> int:
        """Return when to try an order again: however often it was sent already, some tries are left in the window."""
        left_ms = head.deliver_before - now_ms
        return min(self._wait_ms(row.sent_count), max(self._wait_ms(0), left_ms // _TRIES_LEFT))

    def _stop_again_at(self, row: Row, head: Head, now_ms: int) -> int:
        """Return when to look at a stop again; the pause must not run past the deadline."""
        again_at = now_ms + self._wait_ms(row.asked_count)
        deadline = stop_deadline(row, head, int(self._settings.lease_s * 1000))
        return min(again_at, deadline) if deadline > now_ms else again_at

    def _wait_ms(self, times: int) -> int:
        """Return how long to wait before the next try: doubling, so that a deaf host is not shouted at."""
        return int(min(self._settings.redeliver_after_s * 2 ** min(times, 10), _BACKOFF_MAX_S) * 1000)


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for invoke_id, instance_id in pairs:
        groups[invoke_id].append(instance_id)
    return groups
