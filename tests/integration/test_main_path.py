"""One call to one honest answer, with scripted hosts on a real server."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import redis

from fleethand_common.errors import RequestError
from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.retention import sweep
from scripted_host import ScriptedHost


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


def test_a_poisoned_report_is_set_aside_with_its_reason(plane, host, make_host, redis_client: "redis.Redis") -> None:
    """It stops nothing: the next good report is applied. Of what no host sealed, a sample is kept."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    for poison in (b"\xff\x00", b"{}", b"[1,2]", b'{"kind":"finished"}', b"null"):
        redis_client.lpush("fleethand:reports", poison)
        first.send(poison)
    first.finish(invocation.invoke_id, InstanceStatus.RUNNING)
    first.finish(invocation.invoke_id, error_code="Nonsense")
    make_host("stranger").finish(invocation.invoke_id)
    first.finish(invocation.invoke_id)
    plane.settle()

    assert invocation.status == InvocationStatus.SUCCESS
    reasons = [report.reason for report in plane.dispatcher.dead_reports()]
    assert len(reasons) == 5 + 3 + 1
    assert "the instance is no target of this invocation" in reasons
    assert plane.dispatcher.drop_dead_reports() == 9
    assert plane.dispatcher.dead_reports() == []


def test_what_a_dead_aggregator_had_taken_is_applied_by_another(plane, host, redis_client: "redis.Redis") -> None:
    """A batch is safe until it is settled."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.finish(invocation.invoke_id)
    raw = redis_client.rpop("fleethand:reports")
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
