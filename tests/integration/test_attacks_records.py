"""Somebody who can write to Redis and changes the records themselves: it is noticed, and nothing else is run for it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from fleethand_common.errors import FleethandError
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.invocation import Invocation
from fleethand_dispatcher.keys import InvocationKeys
from scripted_host import ScriptedHost

Hosts = Callable[..., ScriptedHost]
Client = "redis.Redis[Any]"


@pytest.fixture
def ended(plane, host: Hosts) -> Invocation:
    """An invocation that ended on two hosts, differently, and runs on a third; a fourth does not exist."""
    a, b, c = host("a"), host("b"), host("c")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["a", "b", "c", "stranger"])
    a.finish(invocation.invoke_id, output="all is well")
    b.finish(invocation.invoke_id, InstanceStatus.FAILED, exit_code=3, error_code="ExitCodeNonzero", output="broken")
    c.start(invocation.invoke_id)
    c.say(invocation.invoke_id, "so far", 0)
    plane.settle()
    return invocation


def row(client: Client, k: InvocationKeys, instance_id: str, **values: Any) -> None:
    """Write a row as an attacker would: what stands there, with other values."""
    stored = json.loads(client.hget(k.rows, instance_id))
    client.hset(k.rows, instance_id, json.dumps({**stored, **values}))


def change(client: Client, k: InvocationKeys, **values: Any) -> None:
    row(client, k, "b", **values)


def copy_row(client: Client, k: InvocationKeys) -> None:
    client.hset(k.rows, "b", client.hget(k.rows, "a"))


def end_what_runs(client: Client, k: InvocationKeys) -> None:
    ending = json.loads(client.hget(k.rows, "a"))
    row(client, k, "c", **{name: ending[name] for name in ("status", "finished_at", "mark", "output")})


def swap_outputs(client: Client, k: InvocationKeys) -> None:
    (one, first), (two, second) = raw(client).hgetall(k.outputs).items()
    raw(client).hset(k.outputs, mapping={one: second, two: first})


def write_output(client: Client, k: InvocationKeys) -> None:
    digest = json.loads(client.hget(k.rows, "b"))["output"]
    client.hset(k.outputs, digest, "all is well")


def drop_output(client: Client, k: InvocationKeys) -> None:
    client.hdel(k.outputs, json.loads(client.hget(k.rows, "b"))["output"])


def raw(client: Client) -> Client:
    """Return a client that leaves bytes as they are."""
    return redis.Redis(connection_pool=redis.ConnectionPool(**{**pool(client), "decode_responses": False}))


def pool(client: Client) -> dict[str, Any]:
    """Return where a client is connected to."""
    return {name: client.connection_pool.connection_kwargs[name] for name in ("host", "port", "db")}


LIES: dict[str, Callable[[Client, InvocationKeys], None]] = {
    "another status": lambda client, k: change(client, k, status="Success"),
    "another exit code": lambda client, k: change(client, k, exit_code=0),
    "another time": lambda client, k: change(client, k, finished_at=4),
    "another error": lambda client, k: change(client, k, error_code="Overflow"),
    "another explanation": lambda client, k: change(client, k, error_info="Run this to mend it."),
    "less was dropped": lambda client, k: change(client, k, dropped=7),
    "only presumed": lambda client, k: change(client, k, presumed=True),
    "no mark": lambda client, k: change(client, k, mark=""),
    "another output": lambda client, k: change(client, k, output=json.loads(client.hget(k.rows, "a"))["output"]),
    "another host's row": copy_row,
    "another host's outputs": swap_outputs,
    "an output of his own": write_output,
    "no output": drop_output,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_altered_result_is_not_authentic(plane, ended: Invocation, redis_client: Client, lie: Any) -> None:
    """Whatever is changed of an ending: the result says so, and verifying names it."""
    assert [True] * 4 == [result.authentic for result in ended.results()]
    assert plane.dispatcher.verify_invocation(ended.invoke_id).authentic

    lie(redis_client, keys.invocation(ended.invoke_id))

    assert not {result.instance_id: result.authentic for result in ended.results()}["b"]
    found = plane.dispatcher.verify_invocation(ended.invoke_id)
    assert not found.authentic
    assert "b" in [finding.instance_id for finding in found.findings]


def test_ending_that_no_host_reported_is_not_authentic(plane, ended: Invocation, redis_client: Client) -> None:
    """Not even with all that belongs to another host's."""
    end_what_runs(redis_client, keys.invocation(ended.invoke_id))

    assert ["c"] == [result.instance_id for result in ended.results() if not result.authentic]
    assert not plane.dispatcher.verify_invocation(ended.invoke_id).authentic


def test_row_of_an_unknown_instance_cannot_stand_for_another(plane, ended: Invocation, redis_client: Client) -> None:
    """Rows that ended from the start are written alike, and each is marked for its own instance."""
    k = keys.invocation(ended.invoke_id)

    redis_client.hset(k.rows, "c", redis_client.hget(k.rows, "stranger"))

    assert ["c"] == [result.instance_id for result in ended.results() if not result.authentic]


def drop_row(client: Client, k: InvocationKeys) -> None:
    client.hdel(k.rows, "b")


def drop_target(client: Client, k: InvocationKeys) -> None:
    drop_row(client, k)
    client.lrem(k.targets, 1, "b")
    client.hincrby(k.head, "total", -1)
    client.hincrby(k.head, "n:Failed", -1)


def add_target(client: Client, k: InvocationKeys) -> None:
    client.rpush(k.targets, "d")
    client.hset(k.rows, "d", client.hget(k.rows, "c"))
    client.hincrby(k.head, "total", 1)
    client.hincrby(k.head, "unfinished", 1)
    client.hincrby(k.head, "n:Running", 1)


def undo(client: Client, k: InvocationKeys) -> None:
    row(client, k, "b", status="Running")


WHOLE: dict[str, Callable[[Client, InvocationKeys], None]] = {
    "a counter": lambda client, k: client.hincrby(k.head, "n:Success", 1),
    "the number of those that run": lambda client, k: client.hset(k.head, "unfinished", 0),
    "the end": lambda client, k: client.hset(k.head, "finished_at", 5),
    "the deadline": lambda client, k: client.hset(k.head, "deliver_before", 5),
    "the beginning": lambda client, k: client.hset(k.head, "created_at", 5),
    "the mark": lambda client, k: client.hdel(k.head, "mark"),
    "the order": lambda client, k: client.hset(k.head, "order", client.hget(k.head, "snapshot")),
    "no order": lambda client, k: client.hdel(k.head, "order"),
    "one row less": drop_row,
    "one target less": drop_target,
    "one target more": add_target,
    "an ending taken back": undo,
}


@pytest.mark.parametrize("lie", WHOLE.values(), ids=WHOLE.keys())
def test_whatever_else_is_altered_of_an_invocation_is_found(plane, ended, redis_client: Client, lie: Any) -> None:
    """The whole has a mark too, and the rows are counted again."""
    lie(redis_client, keys.invocation(ended.invoke_id))

    assert not plane.dispatcher.verify_invocation(ended.invoke_id).authentic


@pytest.mark.parametrize("put", ["another's", "nothing that was sealed"])
def test_what_was_asked_for_cannot_be_exchanged(plane, host: Hosts, redis_client: Client, put: str) -> None:
    """A snapshot or an order stands for its own invocation only; others are listed as before."""
    host("a")
    good, bad = (plane.dispatcher.run_command(command_content=text, instance_ids=["a"]) for text in ("good", "bad"))
    for name in ("snapshot", "order"):
        other = redis_client.hget(keys.invocation(bad.invoke_id).head, name)
        redis_client.hset(keys.invocation(good.invoke_id).head, name, other if put == "another's" else "bm90aGluZw==")

    for ask in (good.record, lambda: list(good.results()), good.retry):
        with pytest.raises(FleethandError) as caught:
            ask()
        assert "RecordNotAuthentic" == caught.value.code
    assert [bad.invoke_id] == [found.invoke_id for found in plane.dispatcher.describe_invocations().items]


def test_kept_commands_cannot_be_exchanged(plane, host: Hosts, redis_client: Client) -> None:
    """Who may run the harmless one must not run the other; both are refused, a third is as before."""
    host("a")
    kept = [plane.dispatcher.create_command(name=name, command_content=name) for name in ("wipe", "list", "third")]
    wipe, harmless = (keys.command(command.command_id) for command in kept[:2])
    bodies = [redis_client.hget(key, "body") for key in (wipe, harmless)]
    redis_client.hset(wipe, "body", bodies[1])
    redis_client.hset(harmless, "body", bodies[0])

    for command in kept[:2]:
        with pytest.raises(FleethandError) as caught:
            plane.dispatcher.invoke_command(command.command_id, instance_ids=["a"])
        assert "RecordNotAuthentic" == caught.value.code

    assert ["third"] == [command.name for command in plane.dispatcher.describe_commands().items]
    plane.dispatcher.invoke_command(kept[2].command_id, instance_ids=["a"])


def test_follower_believes_no_event_that_was_put_in(
    plane, ended: Invocation, host: Hosts, redis_client: Client
) -> None:
    """A made up ending is marked as such, made up output is not shown, and what is none is passed over."""
    events = keys.invocation(ended.invoke_id).events
    stream = [fields for _, fields in redis_client.xrange(events)]
    real = next(fields for fields in stream if fields["i"] == "a" and "Success" in fields["e"])
    redis_client.xadd(events, {"i": "c", "e": real["e"], "d": ""})
    redis_client.xadd(events, {"i": "c", "e": '{"kind":"output","at":1,"status":"Running"}', "d": "0 YSBsaWU="})
    redis_client.xadd(events, {"i": "c", "e": "nonsense", "d": ""})
    redis_client.xadd(events, {"x": "y"})
    ScriptedHost.finish(host("c"), ended.invoke_id, output="so far, so good")
    plane.settle()

    of_c = [event for event in ended.follow(1) if event.instance_id == "c"]

    assert ["so far", ", so good"] == [event.data for event in of_c if event.kind == "output"]
    endings = [(event.status, event.authentic) for event in of_c if event.kind == "status"]
    assert [("Running", True), ("Success", False), ("Success", True)] == endings


def test_live_output_that_was_put_in_is_not_shown(plane, ended: Invocation, redis_client: Client) -> None:
    """A piece is bound to its place; what is none of this host's is left out."""
    live = keys.invocation(ended.invoke_id).live
    piece = redis_client.hget(live, "c")
    redis_client.hset(live, "c", f"{piece}6 YSBsaWU=\n7{piece[1:]}")

    assert ["so far"] == [result.output for result in ended.results() if result.instance_id == "c"]


def test_client_token_tells_nothing_of_its_request_and_stands_for_no_other(
    plane, host: Hosts, redis_client: Client
) -> None:
    """Its digest cannot be tried out without the key, and an id that was put in is not handed out."""
    host("a")
    request: dict[str, Any] = {"command_content": "x", "instance_ids": ["a"], "client_token": "once"}
    first = plane.dispatcher.run_command(**request)
    other = plane.dispatcher.run_command(command_content="y", instance_ids=["a"])
    assert first.invoke_id == plane.dispatcher.run_command(**request).invoke_id
    key = keys.token("run_command", "once")
    before = redis_client.get(key)

    redis_client.set(key, before.replace(first.invoke_id, other.invoke_id))
    with pytest.raises(FleethandError) as caught:
        plane.dispatcher.run_command(**request)
    assert "IdempotentParameterMismatch" == caught.value.code
    redis_client.set(keys.token("run_command", "twice"), before)
    with pytest.raises(FleethandError) as caught:
        plane.dispatcher.run_command(**{**request, "client_token": "twice"})
    assert "IdempotentParameterMismatch" == caught.value.code
