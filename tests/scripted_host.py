"""A host that does what a test tells it: it reads its queues and sends reports as a worker does, and runs nothing."""

import base64
import json
from typing import Any

import msgspec
import redis

from fleethand_common import celery_config, letters, messages, sealing
from fleethand_common.credentials import Provision
from fleethand_common.letters import Letter, SealedReport
from fleethand_common.signing import Kind
from fleethand_common.states import InstanceStatus

KINDS = {
    messages.EXECUTE_TASK: Kind.EXECUTE,
    messages.STOP_TASK: Kind.STOP,
    messages.DIRECTIVE_TASK: Kind.DIRECTIVE,
}


def sealed_report(instance_id: str, report: messages.Report | bytes, key: bytes) -> bytes:
    """Return a report as it goes up when *instance_id* sends it and *key* is the key of its way up."""
    plain = report if isinstance(report, bytes) else messages.encode(report)
    return msgspec.json.encode(SealedReport(instance_id=instance_id, sealed=sealing.seal(plain, key)))


class ScriptedHost:
    """One host, as the control plane sees it."""

    def __init__(self, client: "redis.Redis[Any]", provision: Provision) -> None:
        self.client = client
        self.credentials = provision.credentials
        self.instance_id = self.credentials.instance_id
        self.trusted = provision.keys
        self.keys = sealing.pair_keys(self.credentials.box_secret, self.credentials.control_public)
        self.last_beat_ms = 0

    def beat(self, **facts: Any) -> messages.Heartbeat:
        """Send a heartbeat, of now and later than the last one unless *facts* say otherwise."""
        seconds, micros = self.client.time()
        self.last_beat_ms = max(self.last_beat_ms + 1, seconds * 1000 + micros // 1000)
        values: dict[str, Any] = {
            "instance_id": self.instance_id,
            "at_ms": self.last_beat_ms,
            "interval_s": 30,
            "name": self.instance_id,
            "os_type": "Linux",
            "os_version": "test",
            "worker_version": "0",
            "time_zone": "UTC",
            "boot_id": "b",
            "session": "s",
        }
        report = messages.Heartbeat(**{**values, **facts})
        self.send(report)
        return report

    def seal(self, report: messages.Report | bytes) -> bytes:
        """Return a report, or what is none, as it goes up: under this host's key."""
        return sealed_report(self.instance_id, report, self.keys.up)

    def send(self, report: messages.Report | bytes) -> None:
        """Send any report."""
        self.client.lpush(celery_config.REPORTS_QUEUE, self.seal(report))

    def accept(self, invocation_id: str, at_ms: int = 1) -> None:
        """Say that the order is in the journal."""
        self.send(messages.Accepted(instance_id=self.instance_id, invocation_id=invocation_id, at_ms=at_ms))

    def start(self, invocation_id: str, at_ms: int = 2) -> None:
        """Say that the command runs."""
        self.send(messages.Started(instance_id=self.instance_id, invocation_id=invocation_id, started_at_ms=at_ms))

    def say(self, invocation_id: str, data: str, offset: int) -> None:
        """Send a piece of output."""
        self.send(
            messages.OutputChunk(instance_id=self.instance_id, invocation_id=invocation_id, offset=offset, data=data)
        )

    def finish(
        self, invocation_id: str, status: InstanceStatus = InstanceStatus.SUCCESS, **values: Any
    ) -> messages.Finished:
        """Say how it ended."""
        report = messages.Finished(
            instance_id=self.instance_id,
            invocation_id=invocation_id,
            status=status,
            **{"started_at_ms": 2, "finished_at_ms": 3, **values},
        )
        self.send(report)
        return report

    def orders(self) -> list[messages.ExecutionOrder]:
        """Take all execution orders from the queue, oldest first; each is signed, and for this host."""
        queue = celery_config.orders_queue(self.instance_id)
        return [messages.decode_order(body) for _, body in self._take(queue)]

    def stops(self) -> list[messages.StopOrder]:
        """Take all stop orders from the queue of control, oldest first; each is signed, and for this host."""
        queue = celery_config.control_queue(self.instance_id)
        return [messages.decode_stop(body) for kind, body in self._take(queue) if kind is Kind.STOP]

    def directives(self) -> list[messages.Directive]:
        """Take all directives from the queue of control, oldest first; each is signed."""
        queue = celery_config.control_queue(self.instance_id)
        return [messages.decode_directive(body) for kind, body in self._take(queue) if kind is Kind.DIRECTIVE]

    def _take(self, queue: str) -> list[tuple[Kind, bytes]]:
        found: list[tuple[Kind, bytes]] = []
        while raw := self.client.rpop(queue):
            found.append(self._open(json.loads(raw)))
        return found

    def _open(self, message: Any) -> tuple[Kind, bytes]:
        kind = KINDS[message["headers"]["task"]]
        _, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        letter = msgspec.convert(kwargs["order"], Letter)
        sealed = base64.b64decode(message["headers"][messages.TOKEN_HEADER])
        token = letters.unpack(sealing.open_sealed(sealed, self.keys.down) if kind is Kind.EXECUTE else sealed)
        body = letters.open_letter(letter, token)
        instance_id = self.instance_id
        letters.check(kind, body, token, instance_id=instance_id, trusted=self.trusted, signed_at_ms=0, now_ms=0)
        return kind, body
