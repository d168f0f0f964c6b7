"""The control plane as a host sees it: orders and stops pushed into its queues, reports popped from theirs."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import redis

from fleethand_common import celery_config, sealing
from fleethand_common.commands import CommandType
from fleethand_common.letters import SealedReport
from fleethand_common.messages import (
    Directive,
    ExecutionOrder,
    Finished,
    Heartbeat,
    Refusal,
    Refused,
    StopOrder,
    decode_report,
)
from fleethand_dispatcher.envelope import directive_parts, order_parts, stop_parts
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_dispatcher.peers import Peers
from fleethand_dispatcher.store import Store
from waiting import wait_until

R = TypeVar("R")


def now_ms() -> int:
    """Return the time as this machine has it, which here is the server's too."""
    return time.time_ns() // 1_000_000


def make_order(invocation_id: str, content: str, **fields: Any) -> ExecutionOrder:
    """Return an order with usual values."""
    values: dict[str, Any] = {
        "invocation_id": invocation_id,
        "command_id": "c-1",
        "command_type": CommandType.SHELL,
        "content": content,
        "timeout_s": 60,
        "stop_grace_s": 1,
        "output_limit_bytes": 24 * 1024,
        "created_at_ms": now_ms(),
        "deliver_before_ms": now_ms() + 60_000,
        **fields,
    }
    return ExecutionOrder(**values)


class ControlLine:
    """Speaks with one host."""

    def __init__(self, client: "redis.Redis[str]", keyring: Keyring, instance_id: str = "host-1") -> None:
        self.client = client
        self.keyring = keyring
        at = client.connection_pool.connection_kwargs
        self.store = Store.at(f"redis://{at['host']}:{at['port']}/0", keyring.vault)
        self._peers = Peers(self.store.hosts)
        self.writer = LetterWriter(keyring, self._peers)
        self.instance_id = instance_id
        self.orders_queue = celery_config.orders_queue(instance_id)
        self.control_queue = celery_config.control_queue(instance_id)
        self.reports: list[Any] = []

    def envelope(self, order: ExecutionOrder, *, attempt: int = 1) -> str:
        """Return the message that carries an order."""
        written = self.writer.execute(order, [self.instance_id])
        parts = order_parts(written.letter, invoke_id=order.invocation_id, command_name="a command", attempt=attempt)
        return parts.whole(self.instance_id, written.tokens[self.instance_id])

    def order(self, invocation_id: str, content: str, **fields: Any) -> ExecutionOrder:
        """Order a command and return the order."""
        order = make_order(invocation_id, content, **fields)
        self.again(order)
        return order

    def again(self, order: ExecutionOrder) -> None:
        """Send an order, perhaps once more."""
        self.client.lpush(self.orders_queue, self.envelope(order))

    def stop(self, invocation_id: str, deliver_before_ms: int | None = None) -> None:
        """Order a stop."""
        self.client.lpush(self.control_queue, self.stop_envelope(invocation_id, deliver_before_ms))

    def stop_envelope(self, invocation_id: str, deliver_before_ms: int | None = None) -> str:
        """Return the message that carries a stop."""
        stop = StopOrder(invocation_id=invocation_id, deliver_before_ms=deliver_before_ms or now_ms() + 60_000)
        written = self.writer.stop(stop, [self.instance_id], now_ms())
        parts = stop_parts(written.letter, invoke_id=invocation_id, attempt=1)
        return parts.whole(self.instance_id, written.tokens[self.instance_id])

    def directive(self, sequence: int, *, signed_by: str | None = None, **fields: Any) -> str:
        """Send a directive and return the message that carries it; the keys are all that this control plane has."""
        values = {"issued_at_ms": now_ms(), "keys": self.keyring.public_keys(), **fields}
        letter, token = self.writer.directive(Directive(sequence=sequence, **values), signed_by)
        message = directive_parts(letter, sequence=sequence).whole(self.instance_id, token)
        self.client.lpush(self.control_queue, message)
        return message

    def wait_refused(self, reason: Refusal, invocation_id: str = "", timeout_s: float = 15) -> Refused:
        """Return the report that a message was refused, told now or before."""

        def found() -> list[Refused]:
            return [report for report in self.of(Refused, invocation_id) if report.reason is reason]

        return wait_until(found, timeout_s, f"{reason} of {invocation_id} in {self.reports[-5:]}")[-1]

    def read(self) -> list[Any]:
        """Return all reports so far."""
        while (data := self.client.rpop(celery_config.REPORTS_QUEUE)) is not None:
            self.reports.append(self._open(data))
        return self.reports

    def _open(self, data: str | bytes) -> Any:
        report = msgspec.json.decode(data, type=SealedReport)
        key = self._peers.keys_of([report.instance_id])[report.instance_id].up
        return decode_report(sealing.open_sealed(report.sealed, key))

    def of(self, kind: type[R], invocation_id: str) -> list[R]:
        """Return all reports of one kind on one invocation."""
        return [
            report
            for report in self.read()
            if isinstance(report, kind) and getattr(report, "invocation_id", "") == invocation_id
        ]

    def wait_for(self, kind: type[R], invocation_id: str, timeout_s: float = 15) -> R:
        """Return the last report of one kind on one invocation."""
        return wait_until(
            lambda: self.of(kind, invocation_id),
            timeout_s,
            f"{kind.__name__} of {invocation_id} in {self.reports[-5:]}",
        )[-1]

    def outcome(self, invocation_id: str, timeout_s: float = 15) -> Finished:
        """Return how an execution ended."""
        return self.wait_for(Finished, invocation_id, timeout_s)

    def wait_for_hello(self, timeout_s: float = 15, count: int = 1) -> Heartbeat:
        """Return the last hello, once so many were said."""

        def hellos() -> list[Heartbeat] | None:
            found = [report for report in self.read() if isinstance(report, Heartbeat) and report.hello]
            return found if len(found) >= count else None

        return wait_until(hellos, timeout_s, f"hello number {count}")[-1]


def retrying(call: Callable[[], R], timeout_s: float = 10) -> R:
    """Return what *call* returns once the server answers again."""

    def attempt() -> list[R]:
        try:
            return [call()]
        except redis.ConnectionError:
            return []

    return wait_until(attempt, timeout_s, "an answer of the server")[0]
