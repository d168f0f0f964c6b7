"""Runs that wait on a host for the one before: each begins or says why not, and none keeps its schedule from ending."""

from datetime import timedelta
from typing import Any

import pytest

from beat import MINUTE, next_time, outcomes, row, run_through, schedule
from scripted_host import ScriptedHost


def started(plane: Any, host: ScriptedHost) -> str:
    """Let a host begin its only order; returns the run's id."""
    (order,) = host.orders()
    host.start(order.invocation_id)
    plane.settle()
    return order.invocation_id


def test_waiting_run_that_a_freeze_holds_back_does_not_keep_its_schedule_from_its_end(plane, host, beat) -> None:
    """It was the last one: what was to begin with it does not, so the schedule ends with the run before."""
    one = host()
    invocation = schedule(plane, overlap="queue", max_runs=2)
    beat.at(next_time(plane, invocation))
    first = started(plane, one)
    last = next_time(plane, invocation)
    beat.at(last)
    plane.dispatcher.freeze("an incident")

    one.finish(first)
    plane.settle()
    beat.at(last)

    assert sorted(outcomes(invocation)) == ["fired", "held back", "queued"]
    assert (invocation.status, row(invocation).repeats) == ("Success", 1)
    assert not plane.store.client.exists("fleethand:due", "fleethand:schedules")
    assert plane.dispatcher.verify_invocation(invocation.invoke_id).findings == ()


def test_runs_that_wait_behind_one_that_cannot_begin_have_their_turn(plane, host, beat) -> None:
    """Made up for one after the other: each that a freeze holds back is told, and the last one ends the schedule."""
    one = host()
    invocation = schedule(plane, misfire="all", max_runs=4)
    now = next_time(plane, invocation) + 3 * MINUTE + timedelta(seconds=50)
    beat.at(now)
    first = started(plane, one)
    plane.dispatcher.freeze("an incident")

    one.finish(first)
    plane.settle()
    beat.at(now)

    assert sorted(outcomes(invocation)) == ["fired", *["held back"] * 3, *["queued"] * 3]
    assert (invocation.status, row(invocation).repeats) == ("Success", 1)


@pytest.mark.parametrize("options", [{"overlap": "queue"}, {"misfire": "all"}])
def test_run_that_fails_ends_also_what_waits_for_it_where_failure_stops(plane, host, beat, options) -> None:
    """Nothing more runs on that host: the waiting one was to begin after a run that went well."""
    one = host()
    invocation = schedule(plane, stop_on_failure=True, **options)
    due = next_time(plane, invocation)
    if "misfire" in options:
        now = due + 3 * MINUTE + timedelta(seconds=50)
        beat.at(now)
        first = started(plane, one)
    else:
        beat.at(due)
        first = started(plane, one)
        now = next_time(plane, invocation)
        beat.at(now)
    one.finish(first, "Failed", exit_code=1)
    plane.settle()
    beat.at(now)

    assert not one.orders()
    assert (row(invocation).invocation_status, row(invocation).repeats) == ("Failed", 1)
    assert plane.dispatcher.explain(invocation.invoke_id, "host-1").steps[-1].what == "Failed"


def test_waiting_run_that_another_overtakes_waits_once_more(plane, host, beat, monkeypatch) -> None:
    """The next time is decided before the active run ends, and carried out after it: both run."""
    one = host()
    invocation = schedule(plane, overlap="queue")
    beat.at(next_time(plane, invocation))
    first = started(plane, one)
    beat.at(next_time(plane, invocation))
    third = next_time(plane, invocation)
    expand = beat.engine._expander.expand

    def late(*arguments: Any, **options: Any) -> int:
        one.finish(first)
        plane.settle()
        return expand(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(beat.engine._expander, "expand", late)
        beat.at(third)
    for _ in range(2):
        run_through(plane, one)
        beat.at(third)

    assert row(invocation).repeats == 3


def test_run_that_nobody_takes_part_in_says_why(plane, host, beat) -> None:
    """The only host is out after a failure: each further time is skipped, with its reason."""
    one = host("host-1", tags={"env": "prod"})
    invocation = schedule(plane, tags={"env": "prod"}, stop_on_failure=True)
    beat.at(next_time(plane, invocation))
    run_through(plane, one, status="Failed", exit_code=1)

    beat.at(next_time(plane, invocation))

    newest = invocation.runs()[0]
    assert newest.outcome == "skipped"
    assert newest.reason
