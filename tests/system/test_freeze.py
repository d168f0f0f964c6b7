"""Freezing a fleet of real workers: nothing starts, whatever waits where, and nobody but us can say otherwise."""

import time

import pytest

from fleet import Fleet
from fleethand_common.errors import RequestError
from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher import keys
from waiting import wait_until

HOSTS = ("host-1", "host-2")


def wait_frozen(fleet: Fleet, hosts: int) -> None:
    """Wait until so many online hosts say that they are frozen."""
    wait_until(lambda: fleet.dispatcher.freeze_status().hosts_frozen == hosts, 20, f"{hosts} frozen hosts")


def test_freeze_stops_all_starts_within_a_second_and_unfreeze_resumes(fleet: Fleet) -> None:
    """Also of what a host has taken already; what runs goes on and can be stopped; new calls are refused."""
    fleet.started(*HOSTS, concurrency=1)
    running = fleet.run("sleep 60", *HOSTS, timeout_s=120)
    wait_until(lambda: fleet.starts_of(running) == 2, 20, "the long ones run")
    waiting = fleet.run("echo late", *HOSTS, deliver_within_s=300)
    wait_until(lambda: all("free place" in result.waiting for result in waiting.results()), 20, "they wait on hosts")

    began = time.monotonic()
    status = fleet.dispatcher.freeze("bad deployment")
    wait_frozen(fleet, 2)
    took_s = time.monotonic() - began

    assert (status.frozen, status.actor, status.reason) == (True, "operator", "bad deployment")
    assert took_s < 2, "a second, and the time until the next heartbeat, which tells of it"
    with pytest.raises(RequestError, match=r"operator froze it at .* because: bad deployment") as refused:
        fleet.run("echo no")
    assert refused.value.code == "Operation.Frozen"
    running.stop()
    assert running.wait(30).invocation_status is InvocationStatus.STOPPED
    assert fleet.starts_of(waiting) == 0
    assert {result.invocation_status for result in waiting.results()} == {InstanceStatus.PENDING}

    assert fleet.dispatcher.unfreeze().frozen is False

    assert waiting.wait(30).invocation_status is InvocationStatus.SUCCESS
    actions = [(entry.actor, entry.action, entry.outcome) for entry in fleet.dispatcher.iter_audit_log()]
    assert ("operator", "fleethand:Freeze", "allowed") in actions
    assert ("operator", "fleethand:Unfreeze", "allowed") in actions
    assert ("operator", "ecs:RunCommand", "refused") in actions


def test_host_that_was_away_learns_of_the_freeze_before_it_starts_anything(fleet: Fleet) -> None:
    """The order lies in its queue already, and one more comes when it says hello: neither starts."""
    fleet.started("host-1")
    fleet.workers["host-1"].kill()
    queued = fleet.run("echo queued", deliver_within_s=300)
    fleet.forget_heartbeat("host-1")
    kept = fleet.run("echo kept", deliver_within_s=300)

    fleet.dispatcher.freeze()
    fleet.worker("host-1")
    fleet.wait_online("host-1")
    wait_until(
        lambda: all("free place" in result.waiting for result in (*queued.results(), *kept.results())), 20, "both"
    )

    assert fleet.dispatcher.freeze_status().hosts_frozen == 1
    assert fleet.starts() == {}
    fleet.dispatcher.unfreeze()
    assert queued.wait(30).invocation_status is InvocationStatus.SUCCESS
    assert kept.wait(30).invocation_status is InvocationStatus.SUCCESS


def test_whoever_writes_to_redis_can_neither_unfreeze_nor_freeze(fleet: Fleet) -> None:
    """An old directive sent again, one that was altered, and a chain without the newest: hosts stay frozen."""
    fleet.started("host-1")
    fleet.dispatcher.freeze("first")
    wait_frozen(fleet, 1)
    fleet.dispatcher.unfreeze()
    wait_until(lambda: fleet.dispatcher.freeze_status().hosts_frozen == 0, 20, "the unfreezing")
    old = fleet.store.client.zrange(keys.DIRECTIVES, 0, -1)
    fleet.dispatcher.freeze("again")
    wait_frozen(fleet, 1)
    newest = fleet.store.client.zrange(keys.DIRECTIVES, -1, -1, withscores=True)

    for raw, score in newest:  # a forged copy that says the opposite, as the newest
        forged = raw.replace(b"again", b"never")
        fleet.store.client.zadd(keys.DIRECTIVES, {forged: score + 1})

    assert fleet.dispatcher.freeze_status().reason == "again"
    fleet.store.client.delete(keys.DIRECTIVES)
    fleet.store.client.zadd(keys.DIRECTIVES, {raw: number for number, raw in enumerate(old, start=10**15)})
    fleet.workers["host-1"].stop()
    fleet.worker("host-1")
    fleet.wait_online("host-1")

    wait_frozen(fleet, 1)
