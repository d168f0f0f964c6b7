"""Delivery, stops and deadlines, with scripted hosts on a real server."""

from collections.abc import Callable
from typing import Any

import redis

from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.models import StopDisposition
from scripted_host import ScriptedHost
from waiting import wait_until


def test_an_order_is_sent_again_until_the_host_takes_it(plane, host: Callable[..., ScriptedHost]) -> None:
    """A message that was popped by a dead socket is made good by the control plane."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    assert len(first.orders()) == 1

    def again() -> list[object]:
        plane.settle()
        return first.orders()

    assert len(wait_until(again, 5, "the order again")) == 1
    first.accept(invocation.invoke_id)
    plane.settle()
    row = plane.store.invocations.row(invocation.invoke_id, "host-1")
    assert row.accepted_at == 1
    assert row.sent_count >= 2


def test_copies_of_an_order_never_pile_up(plane, host: Callable[..., ScriptedHost]) -> None:
    """An order that still lies in the queue is not put there again."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])

    def sent_thrice() -> bool:
        plane.settle()
        return plane.store.invocations.row(invocation.invoke_id, "host-1").sent_count >= 3

    wait_until(sent_thrice, 5, "three tries")
    assert len(first.orders()) == 1


def test_an_order_that_nobody_took_is_aborted_after_the_window(make_plane, host: Callable[..., ScriptedHost]) -> None:
    """Online but deaf: DeliveryTimeout, presumed; the host's own word replaces it once."""
    plane = make_plane(delivery_window_s=1)
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])

    def finished() -> bool:
        plane.settle()
        return invocation.status == InvocationStatus.FAILED

    wait_until(finished, 10, "the end of the window")
    (result,) = invocation.results()
    assert (result.invocation_status, result.error_code, result.presumed) == ("Aborted", "DeliveryTimeout", True)

    first.finish(invocation.invoke_id, exit_code=0, output="late")
    first.finish(invocation.invoke_id, InstanceStatus.FAILED, exit_code=1)
    plane.settle()
    (result,) = invocation.results()
    assert (
        result.invocation_status,
        result.error_code,
        result.presumed,
        result.output,
    ) == ("Success", "", False, "late")
    steps = plane.dispatcher.explain(invocation.invoke_id, "host-1").steps
    assert any(step.what == "replaced" for step in steps)


def test_an_offline_host_waits_visibly_and_gets_the_order_when_it_is_back(
    make_plane, host: Callable[..., ScriptedHost]
) -> None:
    """`deliver_within` keeps the order for hosts that are away."""
    plane = make_plane(online_within_s=1)
    first = host()
    wait_until(lambda: not plane.dispatcher.describe_instances().items[0].online, 5, "the host to be offline")

    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"], deliver_within_s=3600)
    plane.settle()

    assert first.orders() == []
    (result,) = invocation.results()
    assert result.waiting.startswith("waiting, last seen 20")
    first.beat(hello=True)
    plane.settle()
    assert [invocation.invoke_id] == [order.invocation_id for order in first.orders()]


def test_a_waiting_order_is_withdrawn_when_stopped(make_plane, host: Callable[..., ScriptedHost]) -> None:
    """What was never sent is Cancelled here and now, and not sent when the host comes back."""
    plane = make_plane(online_within_s=1)
    first = host()
    wait_until(lambda: not plane.dispatcher.describe_instances().items[0].online, 5, "the host to be offline")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"], deliver_within_s=3600)

    assert invocation.stop() == {"host-1": StopDisposition.CANCELLED}

    assert invocation.wait(1).invocation_status == InvocationStatus.STOPPED
    first.beat(hello=True)
    plane.settle()
    assert (first.orders(), first.stops()) == ([], [])


def test_an_offline_host_is_aborted_as_not_online(make_plane, host: Callable[..., ScriptedHost]) -> None:
    """Without `deliver_within` the window decides, and the reason names what is wrong."""
    plane = make_plane(online_within_s=1, delivery_window_s=1)
    host()
    wait_until(lambda: not plane.dispatcher.describe_instances().items[0].online, 5, "the host to be offline")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])

    def finished() -> bool:
        plane.settle()
        return invocation.status == InvocationStatus.FAILED

    wait_until(finished, 10, "the end of the window")
    assert [result.error_code for result in invocation.results()] == ["ClientNotOnline"]


def test_stop_asks_the_host_and_waits_for_its_word(plane, host: Callable[..., ScriptedHost]) -> None:
    """Running becomes Stopping, and Terminated only when the host confirms it."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.start(invocation.invoke_id)
    plane.settle()

    assert invocation.stop(["host-1", "other"]) == {
        "host-1": StopDisposition.STOPPING,
        "other": StopDisposition.NOT_FOUND,
    }

    assert invocation.status == InvocationStatus.STOPPING
    assert [invocation.invoke_id] == [stop.invocation_id for stop in first.stops()]
    first.finish(invocation.invoke_id, InstanceStatus.TERMINATED)
    plane.settle()
    assert invocation.status == InvocationStatus.STOPPED
    assert invocation.stop() == {"host-1": StopDisposition.ALREADY_FINISHED}


def test_a_stop_is_sent_again_until_it_is_confirmed(plane, host: Callable[..., ScriptedHost]) -> None:
    """A lost stop is as bad as a lost order."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.start(invocation.invoke_id)
    plane.settle()
    invocation.stop()
    first.stops()

    def again() -> list[object]:
        plane.settle()
        return first.stops()

    assert wait_until(again, 5, "the stop again")


def test_a_silent_host_is_asked_and_then_judged(make_plane, host: Callable[..., ScriptedHost]) -> None:
    """Past its timeout plus the lease: Error, ClientNotResponse, presumed."""
    plane = make_plane()
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"], timeout_s=1)
    first.orders()
    first.start(invocation.invoke_id)
    asked = []

    def finished() -> bool:
        plane.settle()
        asked.extend(first.orders())
        return invocation.status == InvocationStatus.FAILED

    wait_until(finished, 10, "the judgement")
    assert len(asked) == 1
    (result,) = invocation.results()
    assert (result.invocation_status, result.error_code, result.presumed) == ("Error", "ClientNotResponse", True)


def test_nobody_is_judged_while_reports_wait(make_plane, host, redis_client: "redis.Redis") -> None:
    """The answer may be among them: another aggregator holds one."""
    plane = make_plane(delivery_window_s=1)
    host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    redis_client.rpush(keys.TAKEN_PREFIX + "other", b"{}")

    def overdue() -> bool:
        now = plane.store.now_ms()
        redis_client.hset(keys.AGGREGATORS, "other", now)
        plane.settle()
        return now > plane.store.invocations.head(invocation.invoke_id).deliver_before + 2500

    wait_until(overdue, 10, "the window to pass")
    assert invocation.status == InvocationStatus.PENDING
    redis_client.hset(keys.AGGREGATORS, "other", 0)

    def finished() -> bool:
        plane.settle()
        return invocation.status == InvocationStatus.FAILED

    wait_until(finished, 15, "the judgement after the other's batch was taken over")


def test_order_is_sent_to_a_host_that_came_online_while_it_was_written(plane, make_host, monkeypatch) -> None:
    """Signing for many hosts takes seconds: whoever says hello meanwhile finds no order yet, and says it once."""
    one = make_host()
    create = plane.dispatcher._store.invocations.create

    def create_late(*arguments: Any) -> bool:
        one.beat(hello=True)
        plane.settle()
        return create(*arguments)

    monkeypatch.setattr(plane.dispatcher._store.invocations, "create", create_late)
    plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])

    wait_until(lambda: plane.settle() or one.orders(), 5, "the order")
