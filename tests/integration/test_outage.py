"""A server that is away, that crashes, that forgets its scripts, or that refuses to write."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

import enrolled
from fleethand_common.errors import ServerUnavailableError
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.dispatcher import Dispatcher
from scripted_host import ScriptedHost
from servers import Server, free_port
from trouble import TROUBLES, Trouble
from waiting import wait_until

RUN: dict[str, Any] = {"command_content": "x", "instance_ids": ["host-1"]}


@pytest.mark.parametrize("where", TROUBLES)
@pytest.mark.parametrize("keep", [False, True])
def test_call_that_failed_anywhere_is_made_once_with_a_client_token(
    plane, host, redis_client, monkeypatch: pytest.MonkeyPatch, where: str, *, keep: bool
) -> None:
    """At every step: the caller gets an error with a way out, calls again, and there is one invocation of it."""
    first = host()
    trouble = Trouble(monkeypatch, redis_client)
    calls = 0
    while True:
        calls += 1
        arguments = {**RUN, "name": f"n{calls}", "keep_command": keep, "client_token": f"token-{calls}"}
        trouble.arm(where, calls)
        with contextlib.suppress(ServerUnavailableError):
            plane.dispatcher.run_command(**arguments)
        if trouble.disarm():
            break

        once = plane.dispatcher.run_command(**arguments)
        again = plane.dispatcher.run_command(**arguments)

        assert (once.invoke_id, once.command_id) == (again.invoke_id, again.command_id)
        found = plane.dispatcher.describe_invocations(command_name=f"n{calls}").items
        assert [once.invoke_id] == [record.invoke_id for record in found]
        assert [keep] == [bool(plane.dispatcher.describe_commands(name=f"n{calls}").items)]
        first.beat(hello=True)
        plane.settle()
        assert {once.invoke_id} == {order.invocation_id for order in first.orders()}
        first.finish(once.invoke_id)
        plane.settle()
        assert once.status == "Success"
    assert calls > 5


@pytest.mark.parametrize("where", TROUBLES)
def test_invocation_whose_call_failed_is_there_or_not_but_never_half(
    plane, host, redis_client, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Without a token the caller cannot know; what is recorded reaches its host all the same."""
    first = host()
    trouble = Trouble(monkeypatch, redis_client)
    calls, cut = 0, True
    while cut:
        calls += 1
        trouble.arm(where, calls)
        with contextlib.suppress(ServerUnavailableError):
            plane.dispatcher.run_command(**RUN)
        cut = not trouble.disarm()
    first.beat(hello=True)
    plane.settle()

    recorded = plane.dispatcher.describe_invocations(max_results=50).items

    assert 1 <= len(recorded) < calls
    sent: set[str] = set()

    def all_sent() -> bool:
        plane.settle()
        sent.update(order.invocation_id for order in first.orders())
        return {record.invoke_id for record in recorded} == sent

    wait_until(all_sent, 5, "the orders of all that is recorded")


def test_every_verb_says_what_to_do_when_the_server_is_away(keyring) -> None:
    """At once, as `ServerUnavailableError`, whether it answers with a value or with an iterator."""
    with Dispatcher(f"redis://:secret@127.0.0.1:{free_port()}/0", keyring=keyring) as d:
        for call in (
            lambda: d.create_command(name="n", command_content="x"),
            d.describe_commands,
            lambda: d.run_command(**RUN),
            lambda: d.run_command(**RUN, client_token="t"),
            lambda: d.invoke_command("c-1", instance_ids=["i"]),
            lambda: d.stop_invocation("t-1"),
            d.describe_invocations,
            lambda: d.describe_invocation_results("t-1"),
            lambda: list(d.iter_results("t-1")),
            d.describe_instances,
            lambda: d.describe_cloud_assistant_status(instance_ids=["i"]),
            lambda: d.preview_targets(all_instances=True),
            lambda: d.resolve_invocation("last"),
            d.dead_reports,
            lambda: d.wait("t-1", 0.01),
            lambda: list(d.follow("t-1", 0.01)),
        ):
            with pytest.raises(ServerUnavailableError, match="FLEETHAND_REDIS_URL") as caught:
                call()
            assert "secret" not in str(caught.value)


@pytest.fixture
def aggregating(own_server: Server, make_plane: Callable[..., Any]):
    """A control plane on a server of its own, whose aggregator runs."""
    plane = make_plane(redis_url=own_server.url, reaper_interval_s=0.02)
    stop = threading.Event()
    thread = threading.Thread(target=plane.aggregator.run, args=[stop])
    thread.start()
    yield plane
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def a_host(client: Any, own_server: Server, aggregating: Any) -> ScriptedHost:
    """Return a host that the control plane has heard of."""
    host = ScriptedHost(client, enrolled.provision(own_server.url, aggregating.keyring, "host-1"))
    host.beat()
    wait_until(lambda: aggregating.dispatcher.describe_instances().items, 5, "the host")
    return host


def test_wait_and_follow_live_through_a_crash_of_the_server(aggregating, own_server: Server) -> None:
    """What was recorded before it is there after it; the aggregator goes on, and nobody has to be restarted."""
    with own_server.client() as client:
        first = a_host(client, own_server, aggregating)
        invocation = aggregating.dispatcher.run_command(**RUN)
        first.start(invocation.invoke_id)
        wait_until(lambda: invocation.status == "Running", 5, "Running")

        with ThreadPoolExecutor(2) as pool:
            waited = pool.submit(invocation.wait, 30)
            followed = pool.submit(lambda: [event.status for event in invocation.follow(30)])
            own_server.kill()
            with pytest.raises(ServerUnavailableError):
                aggregating.dispatcher.run_command(**RUN)
            own_server.start()
            first.finish(invocation.invoke_id)

            assert waited.result(30).invocation_status == "Success"
            assert followed.result(30) == ["Running", "Success"]


def test_wait_and_follow_live_through_a_failover(aggregating, own_server: Server) -> None:
    """A server that becomes a replica sends all away that wait there; when it may write again, they have the answer."""
    with own_server.client() as client:
        first = a_host(client, own_server, aggregating)
        invocation = aggregating.dispatcher.run_command(**RUN)

        with ThreadPoolExecutor(2) as pool:
            waited = pool.submit(invocation.wait, 30)
            followed = pool.submit(lambda: [event.status for event in invocation.follow(30)])
            wait_until(lambda: client.info("clients")["blocked_clients"] >= 2, 5, "two who wait")
            client.replicaof("127.0.0.1", "1")
            client.replicaof("NO", "ONE")
            first.finish(invocation.invoke_id)

            assert waited.result(30).invocation_status == "Success"
            assert followed.result(30) == ["Success"]


def test_aggregator_ends_in_good_order_when_the_server_is_away(own_server: Server, make_plane) -> None:
    """A stop is a stop; what it held, the next one takes over."""
    plane = make_plane(redis_url=own_server.url)
    own_server.kill()
    stop = threading.Event()
    thread = threading.Thread(target=plane.aggregator.run, args=[stop])
    thread.start()

    stop.set()
    thread.join(10)

    assert not thread.is_alive()


def test_scripts_that_the_server_forgot_are_sent_again(plane, host, redis_client: "redis.Redis[Any]") -> None:
    """A restart without persistence of scripts, or an administrator, may flush them between any two steps."""
    first = host()
    steps: list[Callable[[Any], object]] = [
        lambda i: first.beat(hello=True),
        lambda i: first.accept(i.invoke_id),
        lambda i: first.start(i.invoke_id),
        lambda i: i.stop(),
        lambda i: first.finish(i.invoke_id, InstanceStatus.TERMINATED),
    ]
    redis_client.script_flush()
    invocation = plane.dispatcher.run_command(**RUN)
    for step in steps:
        redis_client.script_flush()
        step(invocation)
        redis_client.script_flush()
        plane.settle()

    assert [result.invocation_status for result in invocation.results()] == ["Terminated"]
    assert plane.store.invocations.forget(invocation.invoke_id) == 1


def test_reports_that_were_taken_before_the_server_was_full_are_applied_later(plane, host, redis_client) -> None:
    """Memory may run out between two steps of one batch; that is no fault of the reports, so none is set aside."""
    first = host()
    invocation = plane.dispatcher.run_command(**RUN)
    first.start(invocation.invoke_id)
    first.finish(invocation.invoke_id, output="out")
    apply = plane.aggregator._apply

    def fill(batch: Any) -> None:
        redis_client.config_set("maxmemory", 1)
        apply(batch)

    plane.aggregator._apply = fill
    try:
        with pytest.raises(redis.RedisError):
            plane.settle()
    finally:
        redis_client.config_set("maxmemory", 0)
    plane.aggregator._apply = apply
    plane.aggregator._reports.reclaim()
    plane.settle()

    assert [result.output for result in invocation.results()] == ["out"]
    assert not plane.store.client.llen(keys.DEAD_REPORTS)


def test_full_server_is_an_error_and_nothing_is_lost(plane, host, redis_client: "redis.Redis[Any]") -> None:
    """Out of memory: a call says so and leaves nothing; reports wait, and are applied when there is room again."""
    first = host()
    invocation = plane.dispatcher.run_command(**RUN)
    first.start(invocation.invoke_id)
    first.finish(invocation.invoke_id, output="out")
    before = redis_client.zrange(keys.INVOCATIONS, 0, -1)
    redis_client.config_set("maxmemory", 1)
    try:
        for call in (
            lambda: plane.dispatcher.run_command(**RUN),
            lambda: plane.dispatcher.create_command(name="n", command_content="x"),
            invocation.stop,
        ):
            with pytest.raises(ServerUnavailableError, match="memory"):
                call()
        with pytest.raises(redis.RedisError):
            plane.settle()
        assert invocation.status == "Pending"
    finally:
        redis_client.config_set("maxmemory", 0)
    plane.settle()

    assert before == redis_client.zrange(keys.INVOCATIONS, 0, -1)
    assert [result.output for result in invocation.results()] == ["out"]
    assert plane.dispatcher.describe_commands().items == []


def test_server_that_cannot_persist_is_an_error(plane, host, own_server: Server, make_plane) -> None:
    """A disk that is full makes a server read-only; reading goes on, and the message says what to look at."""
    plane = make_plane(redis_url=own_server.url)
    with own_server.client() as client:
        client.config_set("min-replicas-to-write", 1)  # refuses writes as a failed save does

        with pytest.raises(ServerUnavailableError, match=r"refuses.*disk"):
            plane.dispatcher.run_command(**RUN)
        assert plane.dispatcher.describe_invocations().items == []

        client.config_set("min-replicas-to-write", 0)
        assert plane.dispatcher.run_command(**RUN).invoke_id


def test_wrong_password_is_told_without_showing_it(tmp_path, keyring) -> None:
    """The URL with its password is in nobody's message."""
    server = Server(tmp_path / "valkey", password="right")
    server.start()
    try:
        with (
            Dispatcher(server.url.replace("right", "wrong"), keyring=keyring) as dispatcher,
            pytest.raises(ServerUnavailableError, match="FLEETHAND_REDIS_URL") as caught,
        ):
            dispatcher.describe_instances()
        assert "wrong" not in str(caught.value).replace("WRONGPASS", "")
    finally:
        server.kill()
