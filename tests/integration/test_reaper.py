"""Deadlines: what is sent again, who is asked, and what is presumed of a host that says nothing."""

from typing import Any

import pytest

from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.models import StopDisposition
from time_travel import look_at, make_offline, pass_time

RUN: dict[str, Any] = {"command_content": "x", "instance_ids": ["host-1"]}


@pytest.fixture
def slow(make_plane):
    """A control plane with the delays of a real one."""
    return make_plane(redeliver_after_s=3.0, lease_s=30.0, stop_grace_s=5.0)


def outcome(invocation) -> tuple[str, str, bool]:
    """Return status, code and whether it is a guess, of the only instance."""
    (result,) = invocation.results()
    return result.invocation_status, result.error_code, result.presumed


def after(plane, invocation, seconds: float) -> tuple[str, str, bool]:
    """Let time pass and the reaper look; returns the outcome."""
    pass_time(plane.store, invocation.invoke_id, seconds)
    plane.settle()
    return outcome(invocation)


def test_accepted_and_never_started_is_aborted_when_it_must_not_start_any_more(slow, host) -> None:
    """The window and then the lease: only then is it sure that the host's word, if any, is lost."""
    first = host()
    invocation = slow.dispatcher.run_command(**RUN)
    first.orders()
    first.accept(invocation.invoke_id)
    slow.settle()

    assert after(slow, invocation, 61) == ("Pending", "", False)
    assert after(slow, invocation, 28) == ("Pending", "", False)
    assert first.orders() == []
    assert after(slow, invocation, 2) == ("Aborted", "DeliveryTimeout", True)
    assert look_at(slow.store, invocation.invoke_id) is None

    first.start(invocation.invoke_id)
    slow.settle()
    assert outcome(invocation) == ("Running", "", False)
    assert invocation.record().finished_time is None
    first.finish(invocation.invoke_id)
    slow.settle()
    assert outcome(invocation) == ("Success", "", False)


def test_order_is_not_sent_again_when_the_window_is_over(slow, host) -> None:
    """A host gets two seconds more to say that it refused it at the last moment."""
    first = host()
    invocation = slow.dispatcher.run_command(**RUN)
    first.orders()

    assert after(slow, invocation, 61) == ("Pending", "", False)
    assert first.orders() == []
    assert after(slow, invocation, 2) == ("Aborted", "DeliveryTimeout", True)


@pytest.mark.parametrize("was_seen", [True, False])
def test_order_that_waits_for_a_host_is_aborted_with_the_reason(slow, make_host, *, was_seen: bool) -> None:
    """Away, or enrolled and never seen; both wait as long as the caller said, and visibly."""
    first = make_host()
    if was_seen:
        first.beat()
        slow.settle()
        make_offline(slow.store)

    invocation = slow.dispatcher.run_command(**RUN, deliver_within_s=3600)

    (result,) = invocation.results()
    assert result.waiting.startswith("waiting, last seen 20" if was_seen else "waiting, never seen")
    assert after(slow, invocation, 3599) == ("Pending", "", False)
    assert after(slow, invocation, 4) == ("Aborted", "ClientNotOnline", True)


def test_order_waits_for_an_instance_that_was_never_seen_and_goes_out_with_its_first_heartbeat(
    slow, make_host, host
) -> None:
    """`deliver_within` also holds for a host that is enrolled and still being installed."""
    make_host()
    invocation = slow.dispatcher.run_command(**RUN, deliver_within_s=3600)

    first = host()

    assert [invocation.invoke_id] == [order.invocation_id for order in first.orders()]
    steps = [step.what for step in slow.dispatcher.explain(invocation.invoke_id, "host-1").steps]
    assert steps == ["created", "sent"]


def test_order_does_not_wait_for_an_instance_that_is_not_enrolled(slow, host) -> None:
    """It could not be signed and sealed for it later; it is told at once, and a later enrolment changes nothing."""
    invocation = slow.dispatcher.run_command(**RUN, deliver_within_s=3600)

    (result,) = invocation.results()
    assert ("Aborted", "InstanceNotExists", False) == (result.invocation_status, result.error_code, result.presumed)
    steps = slow.dispatcher.explain(invocation.invoke_id, "host-1").steps
    assert "not enrolled" in steps[0].detail
    assert host().orders() == []


def test_orders_wait_twice_as_long_after_each_try(slow, host) -> None:
    """A deaf host is not shouted at: 3 s, then 6, 12, 24, 48 and never more than a minute."""
    host()
    invocation = slow.dispatcher.run_command(**RUN, deliver_within_s=7200)
    waits = [look_at(slow.store, invocation.invoke_id)]
    for _ in range(6):
        slow.store.client.zadd(keys.WATCH, {f"{invocation.invoke_id}|host-1": 0})
        slow.settle()
        waits.append(look_at(slow.store, invocation.invoke_id))

    assert waits == pytest.approx([3, 6, 12, 24, 48, 60, 60], abs=1)


def test_hello_brings_orders_and_stops_again_and_nothing_else(slow, host) -> None:
    """What a host that was restarted may have lost; not what it has taken, nor what is over."""
    first = host()
    run = slow.dispatcher.run_command
    pending, stopping, taken, ended = (run(**RUN) for _ in range(4))
    first.orders()
    first.start(stopping.invoke_id)
    first.accept(taken.invoke_id)
    first.finish(ended.invoke_id)
    slow.settle()
    stopping.stop()
    first.stops()

    first.beat()
    slow.settle()
    assert (first.orders(), first.stops()) == ([], [])
    first.beat(hello=True)
    slow.settle()
    assert [pending.invoke_id] == [order.invocation_id for order in first.orders()]
    assert [stopping.invoke_id] == [stop.invocation_id for stop in first.stops()]


@pytest.mark.parametrize("back", ["hello", "first heartbeat", "reaper"])
def test_every_order_that_a_host_lost_is_sent_again_at_once(slow, host, back: str) -> None:
    """Not just the first one that finds the queue empty: the others would run out of their window."""
    first = host()
    if back == "first heartbeat":
        make_offline(slow.store)
    lost = [slow.dispatcher.run_command(**RUN) for _ in range(5)]
    first.orders()

    if back == "reaper":
        for invocation in lost:
            pass_time(slow.store, invocation.invoke_id, 4)
    else:
        first.beat(hello=back == "hello")
    slow.settle()

    assert {invocation.invoke_id for invocation in lost} == {order.invocation_id for order in first.orders()}


def test_hello_counts_when_a_plain_heartbeat_follows_in_the_same_batch(slow, host) -> None:
    """Of several heartbeats the last is kept, and the hello of any of them."""
    first = host()
    invocation = slow.dispatcher.run_command(**RUN)
    first.orders()
    first.beat(hello=True, name="old")
    first.beat(name="new")
    slow.settle()

    assert [invocation.invoke_id] == [order.invocation_id for order in first.orders()]
    assert slow.dispatcher.describe_instances().items[0].instance_name == "new"


def test_host_that_was_away_gets_its_orders_with_any_heartbeat(slow, host) -> None:
    """A connection that hung is not always noticed by the host."""
    first = host()
    make_offline(slow.store)
    invocation = slow.dispatcher.run_command(**RUN)
    assert first.orders() == []

    first.beat()
    slow.settle()

    assert [invocation.invoke_id] == [order.invocation_id for order in first.orders()]


def test_silent_host_is_asked_once_and_its_answer_counts(slow, host) -> None:
    """Past timeout, grace and lease: the order goes out once more, and the host answers from its journal."""
    first = host()
    invocation = slow.dispatcher.run_command(**RUN)
    first.orders()
    first.start(invocation.invoke_id, at_ms=slow.store.now_ms())
    slow.settle()

    assert after(slow, invocation, 94) == ("Running", "", False)
    assert first.orders() == []
    assert after(slow, invocation, 2) == ("Running", "", False)
    assert len(first.orders()) == 1
    first.finish(invocation.invoke_id, InstanceStatus.TIMEOUT)
    slow.settle()
    assert outcome(invocation) == ("Timeout", "", False)


def test_silent_host_is_judged_when_it_was_asked_in_vain_or_is_gone(slow, host) -> None:
    """Online: asked, then a lease. Offline: there is nobody to ask."""
    first = host()
    asked, gone = slow.dispatcher.run_command(**RUN), slow.dispatcher.run_command(**RUN)
    for each in (asked, gone):
        first.start(each.invoke_id, at_ms=slow.store.now_ms())
    slow.settle()
    first.orders()

    after(slow, asked, 96)
    assert after(slow, asked, 28) == ("Running", "", False)
    assert after(slow, asked, 3) == ("Error", "ClientNotResponse", True)
    make_offline(slow.store)
    assert after(slow, gone, 96) == ("Error", "ClientNotResponse", True)
    assert len(first.orders()) == 1


def test_unconfirmed_stop_of_what_never_started_is_presumed_cancelled(slow, host) -> None:
    """When the host must not start it any more; its own later word replaces the guess once."""
    first = host()
    invocation = slow.dispatcher.run_command(**RUN)
    assert invocation.stop() == {"host-1": StopDisposition.STOPPING}
    first.stops()

    assert after(slow, invocation, 60) == ("Stopping", "", False)
    assert len(first.stops()) == 1
    assert after(slow, invocation, 36) == ("Cancelled", "", True)
    assert first.stops() == []
    assert invocation.status == "Stopped"

    first.finish(invocation.invoke_id, InstanceStatus.TERMINATED)
    first.finish(invocation.invoke_id, InstanceStatus.SUCCESS)
    slow.settle()
    assert outcome(invocation) == ("Terminated", "", False)


def test_unconfirmed_stop_of_what_ran_is_an_error(slow, host) -> None:
    """It ran, nobody knows how it ended: not Cancelled, and not Terminated either."""
    first = host()
    invocation = slow.dispatcher.run_command(**RUN)
    first.start(invocation.invoke_id, at_ms=slow.store.now_ms())
    slow.settle()
    invocation.stop()

    assert after(slow, invocation, 94) == ("Stopping", "", False)
    assert after(slow, invocation, 12) == ("Error", "ClientNotResponse", True)


def test_stop_for_a_host_that_is_away_waits_until_it_is_back(slow, host) -> None:
    """No copies pile up in a queue that nobody reads."""
    first = host()
    invocation = slow.dispatcher.run_command(**RUN)
    first.orders()
    invocation.stop()
    first.stops()
    make_offline(slow.store)

    assert after(slow, invocation, 10) == ("Stopping", "", False)
    assert first.stops() == []
    first.beat()
    slow.settle()
    assert [invocation.invoke_id] == [stop.invocation_id for stop in first.stops()]


def test_order_is_not_sent_when_it_is_withdrawn_while_the_host_comes_back(slow, make_host, monkeypatch) -> None:
    """The stop falls between reading the row and marking it as sent: Cancelled means that it is never run."""
    first = make_host()
    invocation = slow.dispatcher.run_command(**RUN, deliver_within_s=3600)
    read = slow.store.invocations.rows
    stopped: list[object] = []

    def read_and_be_overtaken(invoke_id: str, instance_ids: list[str]) -> list[Any]:
        rows = read(invoke_id, instance_ids)
        stopped.append(invocation.stop())
        return rows

    monkeypatch.setattr(slow.store.invocations, "rows", read_and_be_overtaken)
    first.beat(hello=True)
    slow.settle()

    assert [{"host-1": StopDisposition.CANCELLED}] == stopped
    assert (first.orders(), first.stops()) == ([], [])


def test_orders_are_sent_again_while_reports_wait_and_nobody_is_judged(slow, host) -> None:
    """A fleet that reports without a pause must not keep a lost order from its host."""
    first = host()
    lost, overdue = slow.dispatcher.run_command(**RUN), slow.dispatcher.run_command(**RUN)
    first.orders()
    slow.store.client.rpush(keys.TAKEN_PREFIX + "other", b"{}")
    slow.store.client.hset(keys.AGGREGATORS, "other", slow.store.now_ms())

    pass_time(slow.store, overdue.invoke_id, 70)
    assert after(slow, lost, 4) == ("Pending", "", False)

    assert [lost.invoke_id] == [order.invocation_id for order in first.orders()]
    assert outcome(overdue) == ("Pending", "", False)
    assert look_at(slow.store, overdue.invoke_id) == pytest.approx(1, abs=0.5)
    slow.store.client.delete(keys.TAKEN_PREFIX + "other")
    assert after(slow, overdue, 2) == ("Aborted", "DeliveryTimeout", True)


def test_row_is_given_to_one_reaper_at_a_time(slow, host) -> None:
    """Two aggregators do not send the same order twice."""
    host()
    invocation = slow.dispatcher.run_command(**RUN)
    pass_time(slow.store, invocation.invoke_id, 4)

    _, mine = slow.store.invocations.due(10, 10_000)
    _, theirs = slow.store.invocations.due(10, 10_000)

    assert ([invocation.invoke_id], []) == ([due.invoke_id for due in mine], theirs)


def test_watch_of_a_row_that_is_gone_is_dropped(slow) -> None:
    """What retention or a person removed does not come up again and again."""
    slow.store.client.zadd(keys.WATCH, {"t-gone|host-1": 1})

    slow.settle()

    assert slow.store.client.zcard(keys.WATCH) == 0
