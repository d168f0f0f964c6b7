"""The control plane alone: orders out, reports in, status read. Hosts are rows here, no processes."""

import statistics
from collections.abc import Iterator

import redis
from kombu import Exchange, Queue

import enrolled
from bench.figure import Figure, median_s, ms, times
from bench.plain import app
from bench.reports import Reports
from fleethand_common import messages
from fleethand_common.commands import CommandType
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import Dispatcher, Invocation
from fleethand_dispatcher.aggregator import Aggregator
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_dispatcher.peers import Peers
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

HOSTS = 10_000
LOOP = 1_000
"""The plain loop is measured on a tenth and scaled: it is linear, and slow."""


def measure(url: str, keyring: Keyring) -> Iterator[Figure]:
    """Yield the figures of the control plane on the empty server at *url*."""
    settings = Settings(redis_url=url, reaper_interval_s=3600)
    store = Store.at(url, keyring.vault)
    dispatcher = Dispatcher(settings=settings, keyring=keyring)
    aggregator = Aggregator(store, settings, keyring)
    names = [f"host-{number:05}" for number in range(HOSTS)]
    up = Reports(aggregator, store.client, names, enrolled.enrol_rows(store, keyring, names).up)
    yield up.heartbeats(store.now_ms())
    yield from _orders(url, dispatcher, store.client, names)
    yield _writing(store, keyring, names)
    invocation = dispatcher.run_command(command_content="echo hi", instance_ids=names)
    yield from up.of(invocation)
    assert invocation.counts == {InstanceStatus.SUCCESS: HOSTS}
    yield from _status(dispatcher, invocation, names)
    yield up.among_forgeries(dispatcher.run_command(command_content="echo hi", instance_ids=names))
    dispatcher.close()
    store.close()


def _orders(url: str, dispatcher: Dispatcher, client: "redis.Redis", names: list[str]) -> Iterator[Figure]:
    def run() -> None:
        dispatcher.run_command(command_content="echo hi", instance_ids=names)

    run()
    durations = []
    for _ in range(5):
        client.delete(*[f"fleethand:host:{name}:orders" for name in names])
        durations.append(median_s(run, runs=1, warmup=0))
    run_s = statistics.median(durations)
    loop_s = _apply_async_loop(names[:LOOP]) * (HOSTS / LOOP)
    raw_s = _raw_push(url, client, names)
    rate = f"{HOSTS / run_s:,.0f} orders/s"
    yield Figure(
        "accept, record and publish an invocation on 10,000 instances", ms(run_s), "500 ms, 20,000 orders/s", rate
    )
    yield Figure(
        "the same beside a loop of `apply_async`",
        ms(run_s),
        "15 x",
        f"loop of apply_async: {ms(loop_s)}",
        times(loop_s / run_s),
    )
    yield Figure(
        "the same beside raw pipelined LPUSH of the same bytes",
        ms(run_s),
        "",
        f"raw LPUSH: {ms(raw_s)}",
        f"{run_s / raw_s:.2f} of its time taken",
    )


def _writing(store: Store, keyring: Keyring, names: list[str]) -> Figure:
    """Sign, encrypt and seal an order; it is part of the first figure, and most of what trust costs there."""
    writer = LetterWriter(keyring, Peers(store.hosts))
    order = messages.ExecutionOrder(
        invocation_id="t-bench",
        command_id="c-bench",
        command_type=CommandType.SHELL,
        content="echo hi",
        timeout_s=60,
        stop_grace_s=5,
        output_limit_bytes=24 * 1024,
        created_at_ms=store.now_ms(),
        deliver_before_ms=store.now_ms() + 60_000,
    )
    write_s = median_s(lambda: writer.execute(order, names), runs=10)
    each = f"{write_s / HOSTS * 1e6:.1f} us each"
    return Figure("of it: sign and seal the order for 10,000 instances", ms(write_s), "40 % of publishing", each)


def _apply_async_loop(names: list[str]) -> float:
    queues = [Queue(f"bench:{name}", Exchange(""), f"bench:{name}", no_declare=True) for name in names]

    def loop() -> None:
        for queue in queues:
            app.send_task("plain.shell", ["echo hi"], queue=queue, ignore_result=True)

    return median_s(loop, runs=3)


def _raw_push(url: str, client: "redis.Redis", names: list[str]) -> float:
    body = client.lrange(f"fleethand:host:{names[0]}:orders", 0, 0)[0]

    def push() -> None:
        with redis.Redis.from_url(url) as raw:
            pipe = raw.pipeline(transaction=False)
            for name in names:
                pipe.lpush(f"bench:raw:{name}", body)
            pipe.execute()

    return median_s(push, runs=5)


def _status(dispatcher: Dispatcher, invocation: Invocation, names: list[str]) -> Iterator[Figure]:
    small = dispatcher.run_command(command_content="echo hi", instance_ids=names[:10])
    large_s = median_s(lambda: invocation.status, runs=500)
    small_s = median_s(lambda: small.status, runs=500)
    yield Figure(
        "status of an invocation of 10,000 instances",
        ms(large_s),
        "2 ms, flat",
        f"of 10 instances: {ms(small_s)}",
        f"{large_s / small_s:.2f} of its time",
    )
    all_s = median_s(lambda: sum(1 for _ in invocation.results()), runs=3)
    yield Figure("read all 10,000 results with output", ms(all_s), "", "each checked by its mark")
    verify_s = median_s(lambda: dispatcher.verify_invocation(invocation.invoke_id), runs=3)
    yield Figure("verify an invocation of 10,000 instances", ms(verify_s))
