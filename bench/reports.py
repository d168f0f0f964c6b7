"""What one aggregator does with reports: as hosts seal them, and among forgeries. Sealing is not timed."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import redis

from bench.figure import Figure, median_s
from fleethand_common import messages, sealing
from fleethand_common.celery_config import REPORTS_QUEUE
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import Invocation
from fleethand_dispatcher.aggregator import Aggregator
from scripted_host import sealed_report

FORGERIES = 9
"""For each genuine report."""


class Reports:
    """Sends the reports of many hosts, which all have the same key, and measures until they are recorded."""

    def __init__(self, aggregator: Aggregator, client: "redis.Redis", names: Sequence[str], key: bytes) -> None:
        self._aggregator = aggregator
        self._client = client
        self._names = names
        self._key = key

    def heartbeats(self, now_ms: int) -> Figure:
        """Measure a heartbeat of each host."""
        rate = self._rate(lambda name: _heartbeat(name, now_ms))
        return Figure("record heartbeats", f"{rate:,.0f}/s")

    def of(self, invocation: Invocation) -> Iterator[Figure]:
        """Measure the reports of a whole invocation."""
        invoke_id = invocation.invoke_id
        started = self._rate(lambda name: messages.Started(instance_id=name, invocation_id=invoke_id, started_at_ms=1))
        yield Figure("record `started` reports, one aggregator", f"{started:,.0f}/s", "10,000/s")
        finished = self._rate(lambda name: _finished(name, invoke_id))
        yield Figure("record `finished` reports with output", f"{finished:,.0f}/s", "10,000/s")

    def among_forgeries(self, invocation: Invocation) -> Figure:
        """Measure the reports of an invocation when nine of ten messages are forged."""
        rate = self._rate(lambda name: _finished(name, invocation.invoke_id), forgeries=FORGERIES)
        beside = f"{rate * (1 + FORGERIES):,.0f} messages/s"
        return Figure("record `finished` reports, 90 % of all are forged", f"{rate:,.0f}/s", "", beside)

    def _rate(self, make: Callable[[str], messages.Report], *, forgeries: int = 0) -> float:
        """Return how many reports a second are recorded."""
        wrong = sealing.new_key()
        with self._client.pipeline(transaction=False) as pipe:
            for name in self._names:
                report = make(name)
                forged = itertools.repeat(sealed_report(name, report, wrong), forgeries)
                pipe.lpush(REPORTS_QUEUE, *forged, sealed_report(name, report, self._key))
            pipe.execute()
        return len(self._names) / median_s(self._drain, runs=1, warmup=0)

    def _drain(self) -> None:
        while self._aggregator.step(0):
            pass


def _heartbeat(name: str, at_ms: int) -> messages.Heartbeat:
    return messages.Heartbeat(
        instance_id=name,
        at_ms=at_ms,
        interval_s=30,
        name=name,
        tags={"env": "prod"},
        os_type="Linux",
        os_version="Debian GNU/Linux 12",
        worker_version="0.1.0",
        time_zone="UTC",
        boot_id="b",
        session="s",
    )


def _finished(name: str, invoke_id: str) -> messages.Finished:
    return messages.Finished(
        instance_id=name,
        invocation_id=invoke_id,
        status=InstanceStatus.SUCCESS,
        exit_code=0,
        started_at_ms=1,
        finished_at_ms=2,
        output="hi\n",
    )
