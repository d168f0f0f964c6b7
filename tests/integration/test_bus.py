"""Reports on their way into the records: taken in batches, by several, never lost, never counted twice."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from enrolled import enrol_rows
from fleethand_common import celery_config, messages
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.aggregator import Aggregator
from fleethand_dispatcher.bus import RedisReportBus
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from recorded import record
from scripted_host import ScriptedHost, sealed_report
from waiting import wait_until

REPORTS = celery_config.REPORTS_QUEUE


@pytest.fixture
def store(redis_url: str, keyring: Keyring) -> Store:
    """The records of an empty server."""
    return Store.at(redis_url, keyring.vault)


def push(store: Store, *reports: bytes) -> None:
    """Send reports as hosts do, oldest first."""
    store.client.lpush(REPORTS, *reports)


def test_reports_are_taken_oldest_first_and_come_again_until_they_are_settled(store: Store) -> None:
    """A batch never grows beyond its limit, however often it is taken again."""
    bus = RedisReportBus(store.client, "me")
    push(store, b"1", b"2", b"3", b"4", b"5")

    assert [b"1", b"2"] == bus.take(2, 0)
    assert [b"1", b"2"] == bus.take(2, 0)
    bus.settle()
    assert [b"3", b"4"] == bus.take(2, 0.01)
    bus.settle()
    assert [b"5"] == bus.take(2, 0.01)
    bus.settle()
    assert bus.take(2, 0.01) == []


def test_backlog_counts_what_others_hold_and_not_our_own(store: Store) -> None:
    """The reaper must not wait for the batch that it has just applied."""
    mine, theirs = (RedisReportBus(store.client, name) for name in ("mine", "theirs"))
    push(store, b"1", b"2", b"3", b"4")
    theirs.take(2, 0)
    mine.take(1, 0)

    assert (mine.backlog(), theirs.backlog()) == (3, 2)


def test_leave_gives_a_batch_back_in_its_order(store: Store) -> None:
    """An aggregator that is told to end in the middle of a batch leaves no trace."""
    bus = RedisReportBus(store.client, "me")
    push(store, b"1", b"2", b"3")
    bus.take(2, 0)

    bus.leave()

    assert [b"1", b"2", b"3"] == RedisReportBus(store.client, "next").take(5, 0)
    assert b"me" not in store.client.hgetall(keys.AGGREGATORS)


def test_batch_of_a_silent_aggregator_is_taken_over_in_its_order(store: Store) -> None:
    """After ten seconds of silence, not before; the silent one may come back and loses nothing."""
    dead, next_one = (RedisReportBus(store.client, name) for name in ("dead", "next"))
    push(store, b"1", b"2", b"3")
    dead.take(2, 0)

    assert next_one.reclaim() == 0
    store.client.hset(keys.AGGREGATORS, "dead", store.now_ms() - 10_001)
    assert next_one.reclaim() == 2
    assert [b"1", b"2", b"3"] == next_one.take(5, 0)
    dead.settle()
    next_one.settle()
    assert dead.take(5, 0) == []


def test_two_aggregators_lose_nothing_and_count_nothing_twice(store: Store, redis_url: str, keyring: Keyring) -> None:
    """2,000 reports of 500 instances, shuffled, some of them twice, applied by two at once; one dies in between."""
    names = [f"i-{number}" for number in range(500)]
    key = enrol_rows(store, keyring, names).up
    invoke_id = record(store, dict.fromkeys(names, InstanceStatus.PENDING))
    ends = {name: (InstanceStatus.SUCCESS, InstanceStatus.FAILED)[number % 2] for number, name in enumerate(names)}
    reports = [report for name in names for report in _life(invoke_id, name, ends[name])]
    shuffled = random.Random(7)
    reports = [*reports, *shuffled.sample(reports, 500)]
    shuffled.shuffle(reports)
    assert len(reports) == 2500
    push(store, *(sealed_report(report.instance_id, report, key) for report in reports))
    RedisReportBus(store.client, "dead").take(100, 0)
    store.client.hset(keys.AGGREGATORS, "dead", 0)

    stop = threading.Event()
    settings = Settings(redis_url=redis_url, report_batch=37, reaper_interval_s=0.01)
    stores = [Store.at(redis_url, keyring.vault) for _ in range(2)]
    threads = [threading.Thread(target=Aggregator(each, settings, keyring).run, args=[stop]) for each in stores]
    for thread in threads:
        thread.start()
    wait_until(lambda: store.client.keys("fleethand:reports*") == [], 20, "all reports to be applied")
    stop.set()
    for thread in threads:
        thread.join(10)

    rows = dict(zip(names, store.invocations.rows(invoke_id, names), strict=True))
    assert ends == {name: row.status for name, row in rows.items()}
    head = store.invocations.head(invoke_id)
    assert Counter(ends.values()) == head.counts
    assert (head.unfinished, head.total) == (0, 500)
    told: Counter[str] = Counter()
    after = b"0"
    while entries := store.events.read({invoke_id: after}, None).get(invoke_id):
        after = entries[-1].entry_id
        told.update(e.instance_id for e in entries if e.event.kind == "status" and e.event.status in ends.values())
    assert Counter(names) == told
    assert len(store.client.xrange(keys.invocation(invoke_id).done)) == 1
    assert store.client.exists(keys.WATCH, keys.UNFINISHED, keys.DEAD_REPORTS) == 0
    for each in stores:
        each.close()


def _life(invoke_id: str, name: str, end: InstanceStatus) -> list[messages.Report]:
    ids = {"instance_id": name, "invocation_id": invoke_id}
    return [
        messages.Accepted(**ids, at_ms=1),
        messages.Started(**ids, started_at_ms=2),
        messages.OutputChunk(**ids, offset=0, data="x"),
        messages.Finished(**ids, status=end, started_at_ms=2, finished_at_ms=3, output=name),
    ]


@pytest.mark.parametrize("field", ["started_at_ms", "finished_at_ms", "exit_code", "dropped"])
@pytest.mark.parametrize("value", [10**14, -(10**14), 10**18, 10**30])
def test_number_that_the_records_cannot_hold_is_set_aside(plane, host, field: str, value: int) -> None:
    """Lua writes 10**14 as `1e+14`, which no reader takes for a whole number: the row could never be read again."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.finish(invocation.invoke_id, **{field: value})
    plane.settle()

    assert invocation.status == "Pending"
    assert [f"{field} cannot be {value}"] == [report.reason for report in plane.dispatcher.dead_reports()]
    first.finish(invocation.invoke_id, **{field: 10**14 - 1 if field == "dropped" else 2**31})
    plane.settle()
    assert [result.invocation_status for result in invocation.results()] == ["Success"]


@pytest.mark.parametrize("part", ["targets", "events", "rows"])
def test_report_that_names_another_key_is_set_aside(plane, host, part: str) -> None:
    """`<invocation>:targets` is a list; to read it as a head would have failed for ever, and stopped every report."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.finish(f"{invocation.invoke_id}:{part}")
    first.finish(invocation.invoke_id)
    plane.settle()

    assert invocation.status == "Success"
    assert ["the invocation id is none"] == [report.reason for report in plane.dispatcher.dead_reports()]


def test_report_on_an_unknown_invocation_is_dropped(
    plane, make_host: Callable[..., ScriptedHost], redis_client: "redis.Redis[Any]"
) -> None:
    """It was forgotten by retention; nothing of it comes back into the records."""
    host = make_host()
    for send in (host.accept, host.start, host.finish):
        send("t-forgotten")
    host.say("t-forgotten", "x", 0)
    plane.settle()

    assert plane.dispatcher.dead_reports() == []
    assert [key for key in redis_client.keys("*") if "forgotten" in key] == []


def test_flood_of_live_output_is_bounded(plane, host) -> None:
    """A host bounds it far earlier; the records hold 64 KB of one that does not."""
    first = host()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    first.start(invocation.invoke_id)
    for number in range(100):
        first.say(invocation.invoke_id, "x" * 1000, number * 1000)
    plane.settle()

    (result,) = invocation.results()
    assert 60_000 < len(result.output) <= 65_536


def test_set_aside_reports_are_kept_newest_first_and_bounded(store: Store) -> None:
    """A host gone mad fills neither the memory nor the list that a person reads."""
    bus = RedisReportBus(store.client, "me")
    for number in range(1005):
        bus.set_aside(b"x" * 5000 + bytes([255]), f"reason {number}", 1)

    entries = store.client.lrange(keys.DEAD_REPORTS, 0, -1)
    assert len(entries) == 1000
    assert b"reason 1004" in entries[0]
    assert max(map(len, entries)) < 4300
