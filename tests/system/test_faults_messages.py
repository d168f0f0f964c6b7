"""Messages that come twice, too late, in the wrong order, to the wrong host, or are none at all."""

import base64
import json
import signal
import threading

import msgspec
import pytest

from fleet import Fleet
from fleethand_common import messages
from fleethand_common.celery_config import REPORTS_QUEUE, control_queue, orders_queue
from fleethand_dispatcher import keys
from invariants import check_records
from waiting import wait_until


@pytest.fixture
def fleet(fleet: Fleet) -> Fleet:
    """Two hosts."""
    return fleet.started("host-1", "host-2")


def test_order_that_comes_many_times_runs_once(fleet: Fleet) -> None:
    """Ten copies while it runs, ten at once from several sides, ten after its end: one start, one outcome."""
    invocation = fleet.run("sleep 0.5; exit 5")
    fleet.deliver(invocation, "host-1", times=10)
    senders = [threading.Thread(target=fleet.deliver, args=(invocation, "host-1", 2)) for _ in range(5)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert fleet.outcome(invocation).exit_code == 5
    fleet.deliver(invocation, "host-1", times=10)

    with fleet.server.client() as client:
        wait_until(lambda: client.llen(orders_queue("host-1")) == 0, 20, "all copies read")
    fleet.works("host-1")
    assert (fleet.starts_of(invocation), fleet.result(invocation).repeats) == (1, 1)
    check_records(fleet, [invocation.invoke_id])


def test_order_comes_again_after_a_restart_of_the_worker(fleet: Fleet) -> None:
    """The journal remembers across a kill: neither an order that runs nor one that has ended is started again."""
    ended, running = fleet.run("exit 5"), fleet.run("sleep 1; exit 5")
    fleet.outcome(ended)
    fleet.wait_started(running)
    fleet.workers["host-1"].kill()
    for invocation in (ended, running, ended, running):
        fleet.deliver(invocation, "host-1")

    fleet.worker("host-1")

    assert fleet.outcome(running).exit_code == 5
    fleet.works("host-1")
    assert (fleet.starts_of(ended), fleet.starts_of(running)) == (1, 1)


def test_stop_that_comes_before_its_order_wins(fleet: Fleet) -> None:
    """The control queue is read first, so a stop can overtake its order: it is Cancelled, however often that comes."""
    fleet.workers["host-1"].send(signal.SIGSTOP)
    with fleet.server.client() as client:
        wait_until(lambda: not polls(client, "host-1"), 20, "the end of the poll of the worker that is frozen")
        invocation = fleet.run("")
        invocation.stop()
        fleet.deliver(invocation, "host-1", times=3)
        fleet.workers["host-1"].send(signal.SIGCONT)

        assert fleet.outcome(invocation).invocation_status == "Cancelled"
        wait_until(lambda: client.llen(orders_queue("host-1")) == 0, 20, "all copies read")
    fleet.works("host-1")
    assert fleet.starts_of(invocation) == 0


def polls(client, instance_id: str) -> bool:
    """Tell whether the server still holds a poll of a host, into which the next message would go."""
    return any(each["name"] == instance_id and "b" in each["flags"] for each in client.client_list())


def test_order_for_another_host_is_not_run(fleet: Fleet) -> None:
    """A message that went astray is dropped by the wrong host and told by the right one."""
    invocation = fleet.run("sleep 0.3", "host-1")
    fleet.deliver(invocation, "host-1", queue_of="host-2")
    invocation.wait(20)

    fleet.works()
    assert fleet.starts()[invocation.invoke_id, "host-1"] == 1
    assert fleet.starts()[invocation.invoke_id, "host-2"] == 0
    assert "event=order_refused reason=OtherInstance" in fleet.workers["host-2"].output()


def test_reports_in_any_order_tell_the_same_story(fleet: Fleet) -> None:
    """The outcome first, then the start, then the acceptance, each twice: one Success, counted once."""
    with fleet.server.client() as client:
        host = fleet.scripted_host(client, "host-3")
        host.beat()
        wait_until(lambda: client.zscore(keys.SEEN, "host-3"), 10, "the host seen")
        invocation = fleet.run("", "host-3")
        for _ in range(2):
            host.finish(invocation.invoke_id, exit_code=0, output="done\n")
            host.say(invocation.invoke_id, "do", 0)
            host.start(invocation.invoke_id)
            host.accept(invocation.invoke_id)
        record = invocation.wait(10)
        wait_until(lambda: client.llen(REPORTS_QUEUE) == 0, 10, "all reports taken")

    assert record.counts == {"Success": 1}
    assert fleet.result(invocation, "host-3").output == "done\n"
    check_records(fleet, [invocation.invoke_id])


def garbage(invoke_id: str) -> list[bytes]:
    """Return a sample of what is no message, no task, no order; each in its own way."""

    def task(body: object, **headers: object) -> bytes:
        values = {"task": messages.EXECUTE_TASK, "id": "x", messages.INSTANCE_HEADER: "host-1", **headers}
        properties = {"body_encoding": "base64", "delivery_tag": "t", "delivery_info": {"routing_key": "x"}}
        text = base64.b64encode(body if isinstance(body, bytes) else json.dumps(body).encode()).decode()
        envelope = {"body": text, "headers": values, "properties": properties}
        return json.dumps({**envelope, "content-type": "application/json", "content-encoding": "utf-8"}).encode()

    return [
        b"",
        b"\xff\xfe garbage",
        b"null",
        b"[]",
        b'{"body": 1}',
        b'{"properties": {}}',
        task([]),
        task([[], {}, {}]),
        task([[], {"order": None}, {}]),
        task([[], {"order": {"invocation_id": "../../etc"}}, {}]),
        task([[], {"order": {"invocation_id": "t-broken", "content": 7}}, {}]),
        task([[], {"order": {"invocation_id": "t-future", "version": 99}}, {}]),
        task(b"\x80\x04N."),
        task([[], {"order": {}}, {}], task="no.such.task"),
        task([[], {"order": {}}, {}], task=None),
        task([[], {"order": {}}, {}], task=messages.STOP_TASK),
        task([[], {"order": {"invocation_id": invoke_id}}, {}], **{messages.INSTANCE_HEADER: 5}),
    ]


def test_garbage_in_every_queue_stops_nothing(fleet: Fleet) -> None:
    """While a command runs, garbage comes down both queues and up the reports: it ends well, and the next works."""
    invocation = fleet.run("sleep 1; exit 5")
    fleet.wait_started(invocation)
    unknown = messages.Started(instance_id="host-1", invocation_id="t-unknown", started_at_ms=1)
    stranger = messages.Started(instance_id="stranger", invocation_id=invocation.invoke_id, started_at_ms=1)
    reports = [b"", b"\xff", b"null", b'{"kind": "finished"}', b'{"kind": "nonsense"}', b"[" * 50_000]
    unfinished = {"kind": "finished", "instance_id": "host-1", "invocation_id": invocation.invoke_id}
    reports.append(msgspec.json.encode({**unfinished, "status": "Running", "finished_at_ms": 1}))
    reports.append(msgspec.json.encode({**unfinished, "status": "Failed", "finished_at_ms": 1, "error_code": "Mad"}))
    with fleet.server.client() as client:
        for queue in (orders_queue("host-1"), control_queue("host-1")):
            client.lpush(queue, *garbage(invocation.invoke_id))
        client.lpush(REPORTS_QUEUE, *reports, messages.encode(unknown), messages.encode(stranger))

        assert fleet.outcome(invocation).exit_code == 5
        fleet.works()
        wait_until(lambda: not client.exists(orders_queue("host-1"), control_queue("host-1")), 20, "empty queues")

    forged = {each.kind: each.times for each in fleet.dispatcher.security_counts()}
    assert forged["report.forged:NotSealed"] == len(reports) + 2
    assert all(report.reason for report in fleet.dispatcher.dead_reports())
    assert fleet.starts_of(invocation) == 1
    assert all(program.is_running for program in (*fleet.workers.values(), *fleet.aggregators))
    assert len(fleet.workers["host-1"].output().splitlines()) < 200
