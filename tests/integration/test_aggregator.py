"""What an aggregator does with what it cannot apply."""

from collections.abc import Callable

import redis

from fleethand_common.states import InvocationStatus
from fleethand_dispatcher import keys
from scripted_host import ScriptedHost


def test_a_report_that_breaks_its_batch_is_found_and_set_aside(
    plane, host: Callable[..., ScriptedHost], redis_client: "redis.Redis"
) -> None:
    """A row that nobody can read stops its own reports, no others."""
    hosts = [host(f"h{number}") for number in range(3)]
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["h0", "h1", "h2"])
    redis_client.hset(keys.invocation(invocation.invoke_id).rows, "h1", "not a row")

    for each in hosts:
        each.finish(invocation.invoke_id)
    plane.settle()

    (dead,) = plane.dispatcher.dead_reports()
    assert dead.reason.startswith("cannot be applied: ResponseError")
    assert '"h1"' in dead.body
    assert {"Success": 2, "Pending": 1} == dict(invocation.counts)


def test_a_row_that_nobody_can_read_does_not_stop_the_reaper(
    make_plane, host: Callable[..., ScriptedHost], redis_client: "redis.Redis"
) -> None:
    """It is not watched any more; the deadlines of others are kept."""
    plane = make_plane(redeliver_after_s=0.01)
    first, second = host("h0"), host("h1")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["h0", "h1"])
    redis_client.hset(keys.invocation(invocation.invoke_id).rows, "h0", "not a row")
    first.orders()
    second.orders()

    while not second.orders():
        plane.settle()

    assert None is redis_client.zscore(keys.WATCH, f"{invocation.invoke_id}|h0")
    second.finish(invocation.invoke_id)
    plane.settle()
    assert InvocationStatus.PENDING == invocation.status
