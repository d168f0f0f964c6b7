"""Heartbeats that are captured, kept back, brought again or made on two machines; altered records of hosts."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from fleethand_common.celery_config import REPORTS_QUEUE
from fleethand_common.errors import RequestError
from fleethand_dispatcher import keys
from scripted_host import ScriptedHost
from time_travel import make_offline

Hosts = Callable[..., ScriptedHost]


def is_online(plane, instance_id: str = "a") -> bool:
    """Tell whether the control plane takes a host for online."""
    (known,) = plane.dispatcher.describe_instances(instance_ids=[instance_id]).items
    return known.online


def counts(plane) -> dict[str, int]:
    """Return how often something did not look right, by kind."""
    return {each.kind: each.times for each in plane.dispatcher.security_counts()}


def test_heartbeat_that_comes_again_makes_no_host_online(plane, host: Hosts, redis_client: "redis.Redis[Any]") -> None:
    """Neither the last one, nor an earlier one."""
    a = host("a")
    captured = [a.seal(a.beat()) for _ in range(3)]
    plane.settle()
    make_offline(plane.store, "a")

    redis_client.lpush(REPORTS_QUEUE, *captured)
    plane.settle()

    assert not is_online(plane)
    assert 3 == counts(plane)["heartbeat.ignored:Replayed"]
    a.beat()
    plane.settle()
    assert is_online(plane)


@pytest.mark.parametrize("off_ms", [-121_000, 121_000, -(10**14), 10**17])
def test_heartbeat_that_is_not_of_now_is_ignored(plane, host: Hosts, off_ms: int) -> None:
    """One that was kept back proves that the host lived then; one of the future would block those to come."""
    a = host("a")
    make_offline(plane.store, "a")

    a.beat(at_ms=plane.store.now_ms() + off_ms)
    plane.settle()

    assert not is_online(plane)
    assert 1 == counts(plane)["heartbeat.ignored:Stale"]
    a.beat()
    plane.settle()
    assert is_online(plane)


def test_replayed_hello_sends_no_order_again(make_plane, make_host: Hosts, redis_client: "redis.Redis[Any]") -> None:
    """Or whoever can bring it again could fill a host's queue."""
    plane, a = make_plane(redeliver_after_s=60), make_host("a")
    hello = a.seal(a.beat(hello=True))
    plane.settle()
    plane.dispatcher.run_command(command_content="x", instance_ids=["a"])
    assert 1 == len(a.orders())

    redis_client.lpush(REPORTS_QUEUE, hello)
    plane.aggregator.step(0)

    assert [] == a.orders()


def test_two_machines_with_one_identity_are_noticed(plane, host: Hosts) -> None:
    """Their sessions speak in turn; a worker that was only started again never goes back to its old one."""
    a = host("a", session="one")
    for session in ("one", "two", "two", "three", "three"):
        a.beat(session=session)
    plane.settle()
    assert None is plane.dispatcher.describe_instances(instance_ids=["a"]).items[0].cloned_at

    a.beat(session="two")
    plane.settle()

    (known,) = plane.dispatcher.describe_instances(instance_ids=["a"]).items
    assert known.cloned_at is not None
    (told,) = [entry for entry in plane.store.audit.entries() if entry.action == "instance.cloned"]
    assert ("a", "alert") == (told.actor, told.outcome)
    assert "anew" in told.detail


def test_what_an_instance_follows_is_shown(plane, host: Hosts) -> None:
    """The directive that it follows, and whether it starts anything."""
    host("a", directive_sequence=7, frozen=True)

    (known,) = plane.dispatcher.describe_instances(instance_ids=["a"]).items

    assert (7, True) == (known.directive_sequence, known.frozen)


def test_altered_record_of_a_host_aims_nothing_at_it(plane, host: Hosts, redis_client: "redis.Redis[Any]") -> None:
    """Neither a tag written into it nor another host's record put in its place; its next heartbeat mends it."""
    host("a", tags={"env": "prod"})
    b = host("b", tags={"env": "test"})
    good = redis_client.hget(keys.INSTANCES, "a")
    own = redis_client.hget(keys.INSTANCES, "b")

    for record in (own.replace("test", "prod"), good, own.partition(" ")[2], "", "x", own + " "):
        redis_client.hset(keys.INSTANCES, "b", record)
        assert ("a",) == plane.dispatcher.preview_targets(tags={"env": "prod"}).instance_ids
        with pytest.raises(RequestError, match="env=test"):
            plane.dispatcher.preview_targets(tags={"env": "test"})

    b.beat(tags={"env": "test"})
    plane.settle()
    assert ("b",) == plane.dispatcher.preview_targets(tags={"env": "test"}).instance_ids
