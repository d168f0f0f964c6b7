"""One firing is one run, whoever dies, comes late, or writes into the index."""

import threading
from datetime import timedelta

import pytest
import redis

from beat import LEASE_MS, MINUTE, Beat, next_time, outcomes, row, run_through, schedule
from fleethand_dispatcher import keys
from fleethand_dispatcher.launching import Launcher
from fleethand_dispatcher.retention import sweep
from fleethand_dispatcher.scheduling import occurrences
from fleethand_dispatcher.scheduling.occurrences import Occurrence


def test_beat_that_lost_its_lease_fires_nothing(plane, host, beat) -> None:
    """A frozen leader that wakes up decides about times that are not its own any more."""
    one = host()
    invocation = schedule(plane)
    frozen = beat.lease.take("frozen", LEASE_MS)
    beat.lease.give_back("frozen")
    beat.lease.take("beat", LEASE_MS)
    due = next_time(plane, invocation)

    beat.engine.turn(frozen._replace(at_ms=round(due.timestamp() * 1000)))

    assert not one.orders()
    assert next_time(plane, invocation) == due
    beat.at(due)
    assert len(one.orders()) == 1


def test_decisions_that_take_long_are_parted_into_turns(plane, host, beat, monkeypatch) -> None:
    """What is decided counts only under the lease: one step must not outlast it, however long the outage was."""
    one = host()
    invocations = [schedule(plane) for _ in range(3)]
    due = next_time(plane, invocations[-1])
    monkeypatch.setattr("fleethand_dispatcher.scheduling.firing._DECIDING_S", 0)
    holder = beat.lease.take("beat", LEASE_MS)._replace(at_ms=round(due.timestamp() * 1000))

    turns = [beat.engine.turn(holder) for _ in range(4)]

    assert [turn.fired for turn in turns] == [1, 1, 1, 0]
    assert [outcomes(invocation) for invocation in invocations] == [["fired"]] * 3
    assert len(one.orders()) == 3


def test_large_runs_are_sent_one_after_the_other_and_the_rest_waits_for_the_next_turn(
    plane, host, beat, monkeypatch
) -> None:
    """The orders of the first do not wait until all are made, and no turn outlasts the lease."""
    one = host()
    due = max(next_time(plane, schedule(plane)) for _ in range(3))
    then = beat.lease.take("beat", LEASE_MS)._replace(at_ms=round(due.timestamp() * 1000))
    monkeypatch.setattr("fleethand_dispatcher.scheduling.expanding._ROWS_AT_ONCE", 1)
    monkeypatch.setattr("fleethand_dispatcher.scheduling.firing._EXPANDING_S", 0)
    plane.store.schedules.wake()

    sent = []
    while any(beat.engine.turn(then)):
        sent.append(len(one.orders()))

    assert sent == [1, 1, 1]
    assert not plane.store.schedules.outbox(10)


def test_run_that_is_in_time_does_not_wait_behind_what_was_missed(plane, host, beat, monkeypatch) -> None:
    """After an outage it is decided first, and what tells of the outage does not pile up in front of the next one."""
    one = host()
    late = [schedule(plane) for _ in range(5)]
    now = next_time(plane, late[0]) + timedelta(hours=1, seconds=10)
    in_time = schedule(plane, f"at({now:%Y-%m-%d %H:%M:%S})")
    then = beat.lease.take("beat", LEASE_MS)._replace(at_ms=round(now.timestamp() * 1000))
    plane.store.client.zadd(keys.SEEN, {"host-1": then.at_ms})
    monkeypatch.setattr("fleethand_dispatcher.scheduling.firing._BATCH", 5)

    sent: list[str] = []
    waiting = []
    while any(beat.engine.turn(then)):
        sent += [order.invocation_id.partition(".")[0] for order in one.orders()]
        waiting.append(len(plane.store.schedules.outbox(1000)))

    assert sent[0] == in_time.invoke_id
    assert waiting[0] == max(waiting)
    assert all(len(invocation.runs()) >= 49 for invocation in late)


def test_occurrence_that_is_carried_out_twice_makes_one_run(plane, host, beat, keyring) -> None:
    """The outbox is emptied after the work, so a beat that dies in between leaves it to be done again."""
    one = host()
    invocation = schedule(plane)
    kept: list[bytes] = []
    records = beat.store.schedules
    carried_out, records.carried_out = records.carried_out, kept.extend
    holder = beat.lease.take("beat", LEASE_MS)
    due = round(next_time(plane, invocation).timestamp() * 1000)
    beat.engine.turn(holder._replace(at_ms=due))
    records.carried_out = carried_out

    Beat(plane.store, plane.settings, keyring).at(next_time(plane, invocation) - timedelta(seconds=30))

    assert kept
    assert len(one.orders()) == 1
    assert outcomes(invocation) == ["fired"]


def test_run_that_was_fired_and_not_expanded_is_made_by_the_next_beat(plane, host, beat, monkeypatch) -> None:
    """What a dead beat had put into the outbox is not lost with it."""
    one = host()
    invocation = schedule(plane)
    due = next_time(plane, invocation)
    _fire_and_die(beat, monkeypatch, due)
    assert not one.orders()

    beat.at(due)

    assert len(one.orders()) == 1
    assert outcomes(invocation) == ["fired"]


def _die(*_: object, **__: object) -> None:
    raise OSError("killed")


def _fire_and_die(beat, monkeypatch, due) -> None:
    """Let the beat decide what is due, and die before it makes anything of it."""
    holder = beat.lease.take("beat", LEASE_MS)
    with monkeypatch.context() as patch:
        patch.setattr("fleethand_dispatcher.scheduling.expanding.Expander.expand", _die)
        patch.setattr("fleethand_dispatcher.scheduling.firing.is_servers_fault", lambda error: True)
        with pytest.raises(OSError, match="killed"):
            beat.engine.turn(holder._replace(at_ms=round(due.timestamp() * 1000)))


@pytest.mark.parametrize(
    "case",
    [
        ("rate(1h)", "skip", ["missed"]),
        ("rate(1h)", "latest", ["fired"]),
        ("rate(1h)", "all", ["fired"]),
        ("rate(5m)", "latest", ["missed", "missed", "fired"]),
        ("rate(5m)", "all", ["fired", "queued", "queued"]),
    ],
)
def test_run_that_no_beat_carried_out_for_long_is_what_the_misfire_policy_says(
    plane, host, beat, monkeypatch, case
) -> None:
    """To the operator it is one outage, whether a time had been decided before it or not."""
    frequency, misfire, expected = case
    one = host()
    invocation = schedule(plane, frequency, misfire=misfire)
    due = next_time(plane, invocation)
    _fire_and_die(beat, monkeypatch, due)

    beat.at(due + 11 * MINUTE)

    assert outcomes(invocation) == expected
    assert len(one.orders()) == (1 if "fired" in expected else 0)


def test_old_occurrence_that_somebody_kept_makes_no_second_run(plane, host, beat) -> None:
    """Whoever may write to Redis can delete what tells of a run, and put back what led to it."""
    one = host()
    invocation = schedule(plane, "rate(1h)", misfire="latest")
    due = next_time(plane, invocation)
    beat.store.schedules.carried_out = lambda _: None
    beat.engine.turn(beat.lease.take("beat", LEASE_MS)._replace(at_ms=round(due.timestamp() * 1000)))
    del beat.store.schedules.carried_out
    run_through(plane, one)
    k = keys.invocation(invocation.invoke_id)
    (run,) = invocation.runs()
    plane.store.client.delete(k.runs, k.dues, *plane.store.client.keys(f"*{run.run_id}*"))

    beat.at(due + 11 * MINUTE)

    assert not one.orders()
    assert outcomes(invocation) == ["missed"]


def test_two_beats_that_expand_at_once_make_one_run_each(plane, host, beat, keyring) -> None:
    """The identity of a run, its schedule and its time, is checked where it is written."""
    hosts = [host(f"host-{number}") for number in range(20)]
    now_ms = plane.store.now_ms()
    found = [
        Occurrence(id=schedule(plane, instance_ids=[one.instance_id]).invoke_id, due=60_000 * number, at=now_ms)
        for number, one in enumerate(hosts, start=1)
    ]
    beats = [Beat(plane.store, plane.settings, keyring, f"beat-{number}") for number in range(2)]
    threads = [threading.Thread(target=b.engine._expander.expand, args=(found, now_ms)) for b in beats]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [len(one.orders()) for one in hosts] == [1] * 20


def test_time_that_somebody_wrote_into_the_index_fires_nothing(plane, host, beat) -> None:
    """Whoever can write to Redis cannot invent a run: the schedule itself says when it is due."""
    one = host()
    invocation = schedule(plane)
    forged = plane.store.now_ms() - 1000 - plane.store.now_ms() % 1000 + 7_000
    forged -= 1000 if forged % 60_000 == 0 else 0
    plane.store.client.zadd(keys.DUE, {invocation.invoke_id: forged})
    plane.store.client.hset(keys.invocation(invocation.invoke_id).head, "next:", str(forged))

    beat.at(beat.now() + timedelta(seconds=10))

    assert not one.orders()
    assert not invocation.runs()
    assert next_time(plane, invocation).second == 0


def test_entry_moved_forward_in_the_index_waits_for_its_time(plane, host, beat) -> None:
    """The index says when to look, not when to fire."""
    one = host()
    invocation = schedule(plane, "rate(5m)")
    due = next_time(plane, invocation)
    plane.store.client.zadd(keys.DUE, {invocation.invoke_id: 1})

    beat.at(due - MINUTE)

    assert not one.orders()
    assert next_time(plane, invocation) == due


def test_run_that_cannot_be_made_has_its_row_and_the_others_are_made(plane, host, beat, monkeypatch) -> None:
    """A fault of ours is told where the operator looks, and does not stop the beat."""
    one = host()
    bad, good = schedule(plane, max_runs=1), schedule(plane)
    prepare = Launcher.prepare

    def fail(launcher, run_id, launch, peers):
        if launch.schedule_id == bad.invoke_id:
            raise KeyError("broken")
        return prepare(launcher, run_id, launch, peers)

    monkeypatch.setattr("fleethand_dispatcher.launching.Launcher.prepare", fail)
    beat.at(next_time(plane, good))

    assert outcomes(bad) == ["skipped"]
    assert "log says why" in bad.runs()[0].reason
    assert bad.status == "Stopped"
    assert len(one.orders()) == 1


def test_outbox_entry_that_cannot_be_read_does_not_stop_the_others(plane, host, beat) -> None:
    """Junk is dropped and told in the log."""
    one = host()
    invocation = schedule(plane)
    plane.store.client.xadd(keys.FIRINGS, {"o": "{junk"})
    plane.store.client.xadd(keys.FIRINGS, {"o": occurrences.encode(Occurrence(id="t-gone", due=1))})

    beat.at(next_time(plane, invocation))

    assert len(one.orders()) == 1
    assert not plane.store.client.xlen(keys.FIRINGS)


def test_entry_without_a_schedule_is_dropped(plane, host, beat) -> None:
    """What is left of a caller that died while it made a schedule vanishes when it is due."""
    host()
    invocation = schedule(plane)
    for key in (keys.SCHEDULES, keys.invocation(invocation.invoke_id).head):
        plane.store.client.delete(key)

    beat.at(beat.now() + MINUTE)

    assert not plane.store.client.exists(keys.DUE)


def test_run_is_sent_by_the_reaper_when_the_beat_died_before_it_could(plane, host, beat, monkeypatch) -> None:
    """A run is an invocation like any other: what is recorded as sent and was not, is sent again."""
    one = host()
    invocation = schedule(plane)
    monkeypatch.setattr("fleethand_dispatcher.courier.Courier.send_first", lambda *_: None)
    beat.at(next_time(plane, invocation))
    monkeypatch.undo()
    assert not one.orders()
    (run,) = invocation.runs()
    plane.store.client.zadd(keys.WATCH, {f"{run.run_id}|host-1": 1})

    plane.settle()

    assert run_through(plane, one) == [run.run_id]


def test_retention_keeps_a_living_schedule_and_what_became_of_its_runs(plane, host, beat) -> None:
    """Old runs go by age, their row keeps the counts; the schedule stays, and goes with all of it when it is over."""
    one = host()
    invocation = schedule(plane)
    beat.at(next_time(plane, invocation))
    (run_id,) = run_through(plane, one)
    for index, member in ((keys.RUNS, run_id), (keys.INVOCATIONS, invocation.invoke_id)):
        plane.store.client.zadd(index, {member: 1})

    while sweep(plane.store, plane.settings):
        pass
    kept = (plane.store.invocations.head(run_id), invocation.status, invocation.runs()[0].counts)
    invocation.stop()
    while sweep(plane.store, plane.settings):
        pass

    assert kept == (None, "Scheduled", {"Success": 1})
    assert not plane.dispatcher.describe_invocations().items
    assert not plane.store.client.keys("fleethand:inv:*")
    assert plane.store.results_held() == 0


@pytest.mark.parametrize("step", ["fire", "make", "send"])
def test_run_waits_for_a_server_that_has_no_room_and_is_made_once(plane, host, beat, redis_client, step) -> None:
    """Whichever step finds the server full, nothing is lost and nothing is made twice when there is room again."""
    one = host()
    invocation = schedule(plane)
    due = next_time(plane, invocation)
    full = []

    def fill(*arguments, **named):
        if not full:
            full.append(step)
            redis_client.config_set("maxmemory", 1)
        return originals[step](*arguments, **named)

    engine = beat.engine
    places = {"fire": beat.store.schedules, "make": beat.store.runs, "send": engine._expander._courier}
    names = {"fire": "fire", "make": "make", "send": "send_first"}
    originals = {step: getattr(places[step], names[step])}
    setattr(places[step], names[step], fill)
    holder = beat.lease.take("beat", LEASE_MS)._replace(at_ms=round(due.timestamp() * 1000))
    try:
        with pytest.raises(redis.ResponseError, match="memory"):
            engine.turn(holder)
    finally:
        redis_client.config_set("maxmemory", 0)

    beat.at(due)
    plane.store.client.zadd(keys.WATCH, {f"{invocation.runs()[0].run_id}|host-1": 1})
    plane.settle()

    assert len(run_through(plane, one)) == 1
    assert outcomes(invocation) == ["fired"]
    assert row(invocation).repeats == 1
