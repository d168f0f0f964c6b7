"""One call to one honest answer, with scripted hosts on a real server."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import redis

from fleethand_common.errors import RequestError, WaitTimeoutError
from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.models import StopDisposition
from fleethand_dispatcher.retention import sweep
from scripted_host import ScriptedHost
from waiting import wait_until


def test_run_command_ends_as_success_when_the_host_says_so(plane, host: Callable[..., ScriptedHost]) -> None:
    """The whole way of one invocation, step by step."""
    first = host()

    invocation = plane.dispatcher.run_command(command_content="echo hi", instance_ids=["host-1"], name="greet")

    assert invocation.status == InvocationStatus.PENDING
    (order,) = first.orders()
    assert ("echo hi", "greet", invocation.invoke_id) == (order.content, order.command_name, order.invocation_id)
    first.start(order.invocation_id)
    plane.settle()
    assert invocation.status == InvocationStatus.RUNNING
    first.finish(order.invocation_id, exit_code=0, output="hi\n")
    plane.settle()
    record = invocation.wait(1)
    assert record.invocation_status == InvocationStatus.SUCCESS
    assert record.counts == {InstanceStatus.SUCCESS: 1}
    (result,) = invocation.results()
    assert (result.output, result.exit_code, result.repeats, result.error_code) == ("hi\n", 0, 1, "")
    assert datetime.fromtimestamp(0.003, UTC) == result.finished_time


def test_follow_yields_statuses_and_output_in_order_until_the_end(plane, host: Callable[..., ScriptedHost]) -> None:
    """Following is reading one stream from its beginning."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.start(invocation.invoke_id)
    first.say(invocation.invoke_id, "one\n", 0)
    first.say(invocation.invoke_id, "two\n", 4)
    first.say(invocation.invoke_id, "one\n", 0)
    first.finish(
        invocation.invoke_id, InstanceStatus.FAILED, exit_code=3, error_code="ExitCodeNonzero", output="one\ntwo\nend"
    )
    plane.settle()

    events = [(event.kind, event.status, event.data) for event in invocation.follow(1)]

    assert events == [
        ("status", "Running", ""),
        ("output", "Running", "one\n"),
        ("output", "Running", "two\n"),
        ("output", "Failed", "end"),
        ("status", "Failed", ""),
    ]


def test_follow_tells_the_whole_output_again_when_live_pieces_got_lost(
    plane, host: Callable[..., ScriptedHost]
) -> None:
    """A gap in what went by live is never passed over in silence."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.say(invocation.invoke_id, "three\n", 8)
    first.finish(invocation.invoke_id, output="one\ntwo\nthree\n")
    plane.settle()

    last = [event for event in invocation.follow(1) if event.kind == "output"][-1]

    assert ("one\ntwo\nthree\n", True) == (last.data, last.again)


def test_follow_tells_it_in_short_when_the_stream_is_gone(
    plane, host: Callable[..., ScriptedHost], redis_client: "redis.Redis"
) -> None:
    """The events of an invocation live a day longer than itself; then the rows tell."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.finish(invocation.invoke_id, output="all")
    plane.settle()
    events = keys.invocation(invocation.invoke_id).events
    assert 0 < redis_client.ttl(events) <= 86_400
    redis_client.delete(events)

    assert [("output", "all"), ("status", "")] == [(event.kind, event.data) for event in invocation.follow(1)]


def test_what_went_by_live_stays_when_the_host_lost_the_output(plane, host: Callable[..., ScriptedHost]) -> None:
    """A supervisor that died cannot say what the command printed; what was seen is kept."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.start(invocation.invoke_id)
    first.say(invocation.invoke_id, "seen", 0)
    first.finish(invocation.invoke_id, InstanceStatus.ERROR, error_code="ClientRestarted")
    plane.settle()

    assert ["seen"] == [result.output for result in invocation.results()]


def test_live_output_is_in_the_result_while_it_runs(plane, host: Callable[..., ScriptedHost]) -> None:
    """What has come so far is shown; the final report replaces it."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.start(invocation.invoke_id)
    first.say(invocation.invoke_id, "so ", 0)
    first.say(invocation.invoke_id, "far", 3)
    plane.settle()

    assert [result.output for result in invocation.results()] == ["so far"]
    first.finish(invocation.invoke_id, output="so far, so good")
    plane.settle()
    assert [result.output for result in invocation.results()] == ["so far, so good"]


def test_an_unknown_instance_is_aborted_at_once_and_the_others_run(plane, host: Callable[..., ScriptedHost]) -> None:
    """One mistyped id does not fail the call."""
    first = host()

    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1", "typo", "host-1"])
    first.start(invocation.invoke_id)
    first.finish(invocation.invoke_id)
    plane.settle()

    rows = {result.instance_id: result for result in invocation.results()}
    assert {"host-1", "typo"} == set(rows)
    assert (rows["typo"].invocation_status, rows["typo"].error_code) == ("Aborted", "InstanceNotExists")
    assert invocation.status == InvocationStatus.PARTIAL_FAILED


def test_only_unknown_instances_end_the_invocation_at_once(plane) -> None:
    """Nothing to wait for is not waited for."""
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["typo"])

    assert invocation.wait(1).invocation_status == InvocationStatus.FAILED
    assert [event.error_code for event in invocation.follow(1)] == ["InstanceNotExists"]


def test_require_known_refuses_the_whole_call(plane, host: Callable[..., ScriptedHost]) -> None:
    """The caller can ask for all or nothing."""
    first = host()

    with pytest.raises(RequestError, match="typo") as caught:
        plane.dispatcher.run_command(command_content="x", instance_ids=["host-1", "typo"], require_known=True)

    assert caught.value.code == "InvalidInstance.NotFound"
    assert first.orders() == []


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


def test_duplicates_and_late_reports_change_nothing(plane, host: Callable[..., ScriptedHost]) -> None:
    """A terminal status from the host never changes, and the counters stay equal to the rows."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.finish(invocation.invoke_id, exit_code=0, output="out")
    first.start(invocation.invoke_id)
    first.accept(invocation.invoke_id)
    first.say(invocation.invoke_id, "zombie", 0)
    first.finish(invocation.invoke_id, InstanceStatus.ERROR)
    first.finish(invocation.invoke_id, exit_code=0, output="out")
    plane.settle()

    (result,) = invocation.results()
    assert (result.invocation_status, result.output) == ("Success", "out")
    assert invocation.counts == {InstanceStatus.SUCCESS: 1}


def test_equal_outputs_are_stored_once(plane, host, redis_client: "redis.Redis") -> None:
    """A thousand hosts that say the same cost one text."""
    hosts = [host(f"h{number}") for number in range(3)]
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["h0", "h1", "h2"])
    for each, output in zip(hosts, ["same", "same", "other"], strict=True):
        each.finish(invocation.invoke_id, output=output)
    plane.settle()

    assert redis_client.hlen(keys.invocation(invocation.invoke_id).outputs) == 2
    assert [result.output for result in invocation.results()] == ["same", "same", "other"]


def test_wait_gives_up_in_time_and_the_invocation_goes_on(plane, host: Callable[..., ScriptedHost]) -> None:
    """A wait that ran out is not the end of anything."""
    host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])

    with pytest.raises(WaitTimeoutError, match="goes on"):
        invocation.wait(0.05)
    with pytest.raises(WaitTimeoutError, match="goes on"):
        list(invocation.follow(0.05))

    assert invocation.status == InvocationStatus.PENDING


def test_retry_runs_again_on_just_those(plane, host: Callable[..., ScriptedHost]) -> None:
    """A new invocation of the same order, on the instances that failed."""
    hosts = [host(f"h{number}") for number in range(3)]
    invocation = plane.dispatcher.run_command(
        command_content="echo {{x}}",
        enable_parameter=True,
        parameters={"x": "secret"},
        parameter_definitions=[{"parameter_name": "x", "secret": True}],
        all_instances=True,
    )
    for each, status in zip(hosts, ["Success", "Failed", "Timeout"], strict=True):
        each.orders()
        each.finish(invocation.invoke_id, InstanceStatus(status))
    plane.settle()

    again = invocation.retry(only=["failed"])

    assert [result.instance_id for result in again.results()] == ["h1"]
    (order,) = hosts[1].orders()
    assert order.parameters == {"x": "secret"}
    assert again.record().parameters == {"x": "******"}
    with pytest.raises(RequestError, match="nothing to retry"):
        invocation.retry(only=["Error"])


def test_client_token_makes_a_call_once(plane, host: Callable[..., ScriptedHost]) -> None:
    """The same token gets the same answer; with other parameters it is refused."""
    first = host()
    arguments = {"command_content": "x", "instance_ids": ["host-1"], "client_token": "once"}

    one = plane.dispatcher.run_command(**arguments)
    two = plane.dispatcher.run_command(**arguments)

    assert one.invoke_id == two.invoke_id
    assert len(first.orders()) == 1
    with pytest.raises(RequestError) as caught:
        plane.dispatcher.run_command(**{**arguments, "timeout_s": 5})
    assert caught.value.code == "IdempotentParameterMismatch"


def test_dry_run_checks_and_sends_nothing(plane, host: Callable[..., ScriptedHost]) -> None:
    """A dry run leaves no trace."""
    first = host()

    assert plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"], dry_run=True).invoke_id == ""

    assert first.orders() == []
    assert list(plane.dispatcher.describe_invocations().items) == []
    with pytest.raises(RequestError):
        plane.dispatcher.run_command(command_content="", instance_ids=["host-1"], dry_run=True)


def test_a_poisoned_report_is_set_aside_with_its_reason(plane, host, redis_client: "redis.Redis") -> None:
    """It stops nothing: the next good report is applied."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    for poison in (b"\xff\x00", b"{}", b"[1,2]", b'{"kind":"finished"}', b"null"):
        redis_client.lpush("fleethand:reports", poison)
    first.finish(invocation.invoke_id, InstanceStatus.RUNNING)
    first.finish(invocation.invoke_id, error_code="Nonsense")
    ScriptedHost(redis_client, "stranger").finish(invocation.invoke_id)
    first.finish(invocation.invoke_id)
    plane.settle()

    assert invocation.status == InvocationStatus.SUCCESS
    reasons = [report.reason for report in plane.dispatcher.dead_reports()]
    assert len(reasons) == 8
    assert "the instance is no target of this invocation" in reasons
    assert plane.dispatcher.drop_dead_reports() == 8
    assert plane.dispatcher.dead_reports() == []


def test_what_a_dead_aggregator_had_taken_is_applied_by_another(plane, host, redis_client: "redis.Redis") -> None:
    """A batch is safe until it is settled."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    report = first.finish(invocation.invoke_id)
    raw = redis_client.rpop("fleethand:reports")
    assert report.invocation_id in raw
    redis_client.rpush(keys.TAKEN_PREFIX + "dead", raw)
    redis_client.hset(keys.AGGREGATORS, "dead", 1)

    plane.settle()
    plane.settle()

    assert invocation.status == InvocationStatus.SUCCESS


def test_retention_removes_an_invocation_and_all_that_hangs_on_it(plane, host, redis_client: "redis.Redis") -> None:
    """By number: the oldest finished go first, the unfinished stay."""
    first = host()
    old = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    before = {key for key in redis_client.keys("*") if old.invoke_id in key}
    first.start(old.invoke_id)
    first.say(old.invoke_id, "x", 0)
    first.finish(old.invoke_id, output="x")
    plane.settle()
    new = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    settings = replace(plane.settings, retention_results=1)

    assert before
    assert sweep(plane.store, settings) == 1
    assert [new.invoke_id] == [item.invoke_id for item in plane.dispatcher.describe_invocations().items]
    assert [key for key in redis_client.keys("*") if old.invoke_id in key] == []
    assert plane.store.results_held() == 1
    assert sweep(plane.store, replace(settings, retention_results=0)) == 0
    assert [new.invoke_id] == [
        r.invoke_id for r in plane.dispatcher.describe_invocation_results(instance_id="host-1").items
    ]
