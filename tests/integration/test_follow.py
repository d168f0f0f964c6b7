"""Waiting, following and output, with scripted hosts on a real server."""

from collections.abc import Callable

import pytest
import redis

from fleethand_common.errors import WaitTimeoutError
from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher import keys
from scripted_host import ScriptedHost


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
