"""What stays in the server when everything is over: enrolled hosts, the audit log, and what goes by itself."""

from dataclasses import replace
from typing import Any

import redis

from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.retention import sweep
from time_travel import make_offline, pass_time
from waiting import wait_until


def test_only_keys_with_a_time_to_live_stay_when_all_is_forgotten(
    plane, host, redis_client: "redis.Redis[Any]"
) -> None:
    """After every kind of life: finished, stopped, withdrawn, presumed, replaced, retried, refused, poisoned."""
    first = host()
    d = plane.dispatcher
    on_host = {"instance_ids": ["host-1", "stranger"]}
    kept = d.run_command(command_content="x", name="n", keep_command=True, client_token="t", **on_host)
    ended = d.invoke_command(kept.command_id, **on_host)
    first.start(ended.invoke_id)
    first.say(ended.invoke_id, "live", 0)
    first.finish(ended.invoke_id, InstanceStatus.FAILED, output="x")
    plane.settle()
    again = ended.retry()
    again.stop()
    first.finish(again.invoke_id, InstanceStatus.CANCELLED)
    make_offline(plane.store)
    withdrawn = d.run_command(command_content="x", deliver_within_s=60, **on_host)
    withdrawn.stop()
    pass_time(plane.store, kept.invoke_id, 100)
    plane.settle()
    first.start(kept.invoke_id)
    plane.settle()
    first.finish(kept.invoke_id)
    first.finish("t-nobody")
    redis_client.lpush("fleethand:reports", b"poison")
    plane.settle()
    d.delete_command(kept.command_id)
    d.drop_dead_reports()
    assert redis_client.zcard(keys.UNFINISHED) == 0

    settings = replace(plane.settings, retention_days=0)
    wait_until(lambda: sweep(plane.store, settings) == 0 and not plane.store.instances.all_seen(), 5, "a clean sweep")

    left = {key for key in redis_client.keys("*") if redis_client.ttl(key) < 0}
    assert {keys.RESULTS, keys.AGGREGATORS, keys.HOSTS, keys.HOSTS_VERSION, keys.SECURITY, keys.AUDIT} == left
    assert plane.store.results_held() == 0


def test_unfinished_invocation_is_never_forgotten(plane, host) -> None:
    """Neither by age nor by number; its host may still answer."""
    host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])

    assert sweep(plane.store, replace(plane.settings, retention_days=0, retention_results=0)) == 0

    assert plane.store.invocations.forget(invocation.invoke_id) == -1
    assert invocation.status == "Pending"
