"""A host that does what a test tells it: it reads its queues and sends reports as a worker does, and runs nothing."""

import base64
import json
from typing import Any

import redis

from fleethand_common import celery_config, messages
from fleethand_common.states import InstanceStatus


class ScriptedHost:
    """One host, as the control plane sees it."""

    def __init__(self, client: "redis.Redis[Any]", instance_id: str) -> None:
        self.client = client
        self.instance_id = instance_id

    def beat(
        self, *, hello: bool = False, name: str = "", tags: dict[str, str] | None = None, time_zone: str = "UTC"
    ) -> None:
        """Send a heartbeat."""
        self.send(
            messages.Heartbeat(
                instance_id=self.instance_id,
                hello=hello,
                at_ms=1,
                interval_s=30,
                name=name or self.instance_id,
                tags=tags or {},
                os_type="Linux",
                os_version="test",
                worker_version="0",
                time_zone=time_zone,
                boot_id="b",
            )
        )

    def send(self, report: messages.Report) -> None:
        """Send any report."""
        self.client.lpush(celery_config.REPORTS_QUEUE, messages.encode(report))

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
        """Take all execution orders from the queue, oldest first."""
        return [messages.decode_order(body) for body in self._take(celery_config.orders_queue(self.instance_id))]

    def stops(self) -> list[messages.StopOrder]:
        """Take all stop orders from the queue, oldest first."""
        return [messages.decode_stop(body) for body in self._take(celery_config.control_queue(self.instance_id))]

    def _take(self, queue: str) -> list[bytes]:
        found: list[bytes] = []
        while raw := self.client.rpop(queue):
            _, kwargs, _ = json.loads(base64.b64decode(json.loads(raw)["body"]))
            found.append(json.dumps(kwargs["order"]).encode())
        return found
