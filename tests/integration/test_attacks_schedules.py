"""Somebody who can write to Redis and would have schedules run what, when or where nobody asked for: nothing runs."""

import json
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from beat import LEASE_MS, MINUTE, Beat, next_time, outcomes, row, run_through, schedule
from fleethand_dispatcher import keys
from fleethand_dispatcher.invocation import Invocation
from fleethand_dispatcher.scheduling import occurrences
from fleethand_dispatcher.scheduling.occurrences import Occurrence


def head_of(invocation: Invocation) -> str:
    """Return the key of a schedule's head."""
    return keys.invocation(invocation.invoke_id).head


def alerts(plane) -> list[str]:
    """Return what the audit log has of schedules that somebody else wrote."""
    return [each.detail for each in plane.dispatcher.iter_audit_log() if each.action == "schedule.forged"]


def fired(plane, beat) -> tuple[Invocation, bytes]:
    """Let a schedule fire once, and return it with its occurrence as it lay in the outbox."""
    invocation = schedule(plane)
    holder = beat.lease.take("beat", LEASE_MS)
    due_ms = round(next_time(plane, invocation).timestamp() * 1000)
    records = beat.store.schedules
    outbox, records.outbox = records.outbox, lambda _: []
    beat.engine.turn(holder._replace(at_ms=due_ms))
    records.outbox = outbox
    ((_, fields),) = [entry for entry in beat.store.client.xrange(keys.FIRINGS) if b"o" in entry[1]]
    return invocation, fields[b"o"]


def put_back(plane: Any, invocation: Invocation, due: datetime) -> None:
    """Write that a time is due once more, and remove what tells of its run: as a server that lost power would."""
    due_ms = round(due.timestamp() * 1000)
    k = keys.invocation(invocation.invoke_id)
    plane.store.client.hset(k.head, "next:", due_ms)
    plane.store.client.zadd(keys.DUE, {invocation.invoke_id: due_ms})
    plane.store.client.delete(k.runs, k.dues, *plane.store.client.keys(f"{k.head}.*"))


def test_schedule_whose_time_was_put_back_long_after_does_not_run_again(plane, host, beat) -> None:
    """A time that was decided before, so long ago that a host may have forgotten its run, is told and not run."""
    one = host()
    invocation = schedule(plane, "rate(1h)", misfire="all")
    due = next_time(plane, invocation)
    beat.at(due)
    run_through(plane, one)

    put_back(plane, invocation, due)
    beat.at(due + 11 * MINUTE)

    assert not one.orders()
    assert "decided before" in alerts(plane)[0]
    assert [(run.due_time, run.outcome) for run in invocation.runs()] == [(due, "missed")]
    assert next_time(plane, invocation) == due + 60 * MINUTE


def test_run_that_the_server_lost_is_made_again_as_the_same_run(plane, host, beat) -> None:
    """Power was cut a moment after it fired: hosts know it by its id and answer, so it is there again and ran once."""
    one = host()
    invocation = schedule(plane, "rate(1h)")
    due = next_time(plane, invocation)
    beat.at(due)
    (run_id,) = run_through(plane, one)

    put_back(plane, invocation, due)
    beat.at(due + timedelta(seconds=20))

    assert [order.invocation_id for order in one.orders()] == [run_id]
    assert [(run.run_id, run.outcome) for run in invocation.runs()] == [(run_id, "fired")]
    assert next_time(plane, invocation) == due + 60 * MINUTE
    assert not alerts(plane)


def test_schedule_that_was_put_back_to_what_it_was_before_a_change_does_not_run(plane, host, beat) -> None:
    """The beat that knows of the change is not deceived by the definition of before."""
    one = host()
    invocation = schedule(plane)
    old = plane.store.client.hget(keys.SCHEDULES, invocation.invoke_id)
    plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, command_content="echo new")
    beat.at(next_time(plane, invocation))
    run_through(plane, one)

    plane.store.client.hset(keys.SCHEDULES, invocation.invoke_id, old)
    beat.at(next_time(plane, invocation))

    assert not one.orders()
    assert "version 1" in alerts(plane)[0]


def test_definition_in_the_place_of_another_fires_nothing_and_is_told(plane, host, beat) -> None:
    """It is bound to its schedule's id; the list shows what does not fire, and it can be stopped."""
    one, two = host("host-1"), host("host-2")
    mine, victim = schedule(plane), schedule(plane, instance_ids=["host-2"], command_content="echo harmless")
    due = next_time(plane, victim)

    plane.store.client.hset(keys.SCHEDULES, victim.invoke_id, plane.store.client.hget(keys.SCHEDULES, mine.invoke_id))
    beat.at(due)

    assert not two.orders()
    assert len(one.orders()) == 1
    assert "altered in Redis" in alerts(plane)[0]
    (shown,) = plane.dispatcher.describe_schedules(invoke_id=victim.invoke_id).items
    assert (shown.authentic, shown.command_content, shown.next_time) == (False, "echo harmless", None)
    victim.stop()
    assert not plane.dispatcher.describe_schedules(invoke_id=victim.invoke_id).items


def test_target_that_was_added_to_the_records_gets_no_order(plane, host, beat) -> None:
    """Which hosts a schedule is for stands in its sealed definition."""
    host("host-1")
    stranger = host("host-2")
    invocation = schedule(plane)
    k = keys.invocation(invocation.invoke_id)
    plane.store.client.rpush(k.targets, "host-2")
    plane.store.client.hset(k.rows, "host-2", plane.store.client.hget(k.rows, "host-1"))

    beat.at(next_time(plane, invocation))

    assert not stranger.orders()
    findings = plane.dispatcher.verify_invocation(invocation.invoke_id).findings
    assert any("targets are not those of the schedule" in finding.what for finding in findings)


def test_occurrence_that_was_written_into_the_outbox_makes_no_run(plane, host, beat) -> None:
    """No beat decided it, so it has no mark; another one's mark does not fit."""
    one = host()
    invocation, genuine = fired(plane, beat)
    plane.store.client.delete(keys.FIRINGS)
    found = occurrences.decode_occurrence(genuine)
    lies: list[dict[str, Any]] = [
        {"due": found.due + 60_000},
        {"only": "host-1"},
        {"zone": "Asia/Tokyo"},
        {"at": found.at + 1},
        {"mark": ""},
    ]

    for lie in lies:
        plane.store.client.xadd(keys.FIRINGS, {"o": occurrences.encode(msgspec.structs.replace(found, **lie))})
    beat.at(next_time(plane, invocation) - timedelta(seconds=30))

    assert not one.orders()
    assert not invocation.runs()
    assert "no beat decided" in alerts(plane)[0]


def test_old_occurrence_that_comes_again_makes_no_run(plane, host, beat) -> None:
    """Soon after, its run is known; later, when somebody has removed that, it is too old."""
    one = host()
    invocation, genuine = fired(plane, beat)
    due = next_time(plane, invocation)
    beat.at(due - timedelta(seconds=30))
    (run_id,) = run_through(plane, one)

    plane.store.client.xadd(keys.FIRINGS, {"o": genuine})
    beat.at(due - timedelta(seconds=20))
    assert not one.orders()
    k = keys.invocation(invocation.invoke_id)
    plane.store.client.delete(keys.invocation(run_id).head, k.runs, k.dues)
    plane.store.client.xadd(keys.FIRINGS, {"o": genuine})
    beat.at(due + 15 * MINUTE)

    assert run_id not in {order.invocation_id for order in one.orders()}
    assert {run.outcome for run in invocation.runs() if run.run_id == run_id} == {"missed"}


def test_waiting_run_that_was_written_into_a_row_makes_no_run(plane, host, beat) -> None:
    """What waits for the end of a run is let go by a script, which cannot tell; the beat can."""
    one = host()
    invocation, genuine = fired(plane, beat)
    due = next_time(plane, invocation)
    beat.at(due - timedelta(seconds=30))
    k = keys.invocation(invocation.invoke_id)
    stored = json.loads(plane.store.client.hget(k.rows, "host-1"))
    forged = msgspec.structs.replace(occurrences.decode_occurrence(genuine), only="host-1")
    stored["cycle"]["queued"] = [occurrences.encode(forged).decode()]
    plane.store.client.hset(k.rows, "host-1", json.dumps(stored))

    run_through(plane, one)
    beat.at(due - timedelta(seconds=20))

    assert not one.orders()
    assert outcomes(invocation) == ["fired"]


def test_pause_cannot_be_ended_in_the_records(plane, host, beat) -> None:
    """That a schedule is paused is sealed with the rest of it."""
    one = host()
    invocation = schedule(plane)
    plane.dispatcher.pause_schedule(invocation.invoke_id)
    plane.store.client.hdel(head_of(invocation), "paused_at")

    beat.at(next_time(plane, invocation))

    assert not one.orders()
    assert outcomes(invocation) == ["paused"]


@pytest.mark.parametrize(
    "lie",
    [
        {"exit_code": 0},
        {"status": "Success", "exit_code": 0},
        {"status": "Success"},
        {"finished_at": 4},
        {"output": ""},
        {"error_info": "nothing"},
        {"cycle": {"ran": "t-other.1", "last": "Failed"}},
        {"cycle": {"last": "Success"}},
    ],
)
def test_altered_row_of_a_schedule_is_not_authentic(plane, host, beat, lie: dict[str, Any]) -> None:
    """It shows its last run, and the mark of that run's ending; its own status must follow from it."""
    one = host()
    invocation = schedule(plane)
    beat.at(next_time(plane, invocation))
    run_through(plane, one, status="Failed", exit_code=3, error_code="ExitCodeNonzero")
    assert row(invocation).authentic
    assert plane.dispatcher.verify_invocation(invocation.invoke_id).findings == ()

    k = keys.invocation(invocation.invoke_id)
    stored = json.loads(plane.store.client.hget(k.rows, "host-1"))
    told = {**lie, "cycle": {**stored["cycle"], **lie.get("cycle", {})}}
    plane.store.client.hset(k.rows, "host-1", json.dumps({**stored, **told}))

    assert not row(invocation).authentic
    assert plane.dispatcher.verify_invocation(invocation.invoke_id).findings


def test_row_with_the_ending_of_another_hosts_run_is_not_authentic(plane, host, beat) -> None:
    """The mark is of one run on one host."""
    one, two = host("host-1"), host("host-2")
    invocation = schedule(plane, instance_ids=["host-1", "host-2"])
    beat.at(next_time(plane, invocation))
    run_through(plane, one)
    run_through(plane, two, status="Failed", exit_code=3)
    k = keys.invocation(invocation.invoke_id)

    plane.store.client.hset(k.rows, "host-2", plane.store.client.hget(k.rows, "host-1"))

    assert row(invocation, "host-1").authentic
    assert not row(invocation, "host-2").authentic


def test_schedule_that_was_not_altered_is_as_recorded_to_its_end(plane, host, beat) -> None:
    """After a run, during one, after skipped hosts, after the stop: whatever a script wrote, a reader accepts."""
    one, two = host("host-1"), host("host-2")
    invocation = schedule(plane, instance_ids=["host-1", "host-2", "stranger"])
    verified = []

    def verify() -> None:
        found = plane.dispatcher.verify_invocation(invocation.invoke_id)
        assert all(result.authentic for result in invocation.results())
        assert all(result.authentic for run in invocation.runs() for result in _results(plane, run.run_id))
        verified.append(found.findings)

    verify()
    beat.at(next_time(plane, invocation))
    (order,) = one.orders()
    one.start(order.invocation_id)
    run_through(plane, two)
    verify()
    beat.at(next_time(plane, invocation))
    run_through(plane, two)
    verify()
    one.finish(order.invocation_id, output="late\n")
    plane.settle()
    verify()
    invocation.stop()
    verify()

    assert verified == [()] * 5
    assert {event.authentic for event in invocation.follow(5)} == {True}


def _results(plane, run_id: str) -> list[Any]:
    if not plane.store.invocations.exists(run_id):
        return []
    return list(plane.dispatcher.iter_results(run_id))


def test_schedules_that_end_without_a_run_are_as_recorded(plane, host, beat, keyring) -> None:
    """Stopped before the first run, missed, and left: each ending has a mark of its own."""
    host("host-1", tags={"role": "web"})
    stopped, tagged = schedule(plane), schedule(plane, tags={"role": "web"})
    at = (beat.now() + 2 * MINUTE).replace(microsecond=0)
    missed = schedule(plane, f"at({at:%Y-%m-%d %H:%M:%S})")
    stopped.stop()
    host("host-1", tags={"role": "db"})
    beat.at(next_time(plane, tagged))
    Beat(plane.store, plane.settings, keyring).at(at + 30 * MINUTE)

    for invocation, status in ((stopped, "Cancelled"), (tagged, "Stopped"), (missed, "Invalid")):
        assert (row(invocation).invocation_status, row(invocation).authentic) == (status, True)
        assert plane.dispatcher.verify_invocation(invocation.invoke_id).findings == ()


def test_junk_in_the_outbox_names_no_schedule(plane, host, beat) -> None:
    """An entry that no beat wrote cannot fill the audit log with what it likes."""
    host()
    invocation = schedule(plane)
    for number in range(50):
        junk = Occurrence(id=f"t-junk{number}" + "x" * 1000, due=1)
        plane.store.client.xadd(keys.FIRINGS, {"o": occurrences.encode(junk)})

    beat.at(next_time(plane, invocation))

    assert outcomes(invocation) == ["fired"]
    assert len(alerts(plane)) <= 21
