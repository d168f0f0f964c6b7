"""What a schedule does at times when it does not simply run: overlap, misfire, jitter, bounds, blackout, pause."""

from datetime import timedelta

import pytest

from beat import EVERY_MINUTE, MINUTE, next_time, outcomes, row, run_through, schedule

OUTAGE = 10 * MINUTE


def test_overlapping_run_is_skipped_on_the_host_that_is_busy(plane, host, beat) -> None:
    """Skip is the default, host by host; the row of the run and the host's story say so."""
    busy, free = host("host-1"), host("host-2")
    invocation = schedule(plane, instance_ids=["host-1", "host-2"])
    beat.at(next_time(plane, invocation))
    (order,) = busy.orders()
    busy.start(order.invocation_id)
    run_through(plane, free)

    beat.at(next_time(plane, invocation))

    newest = invocation.runs()[0]
    assert (newest.outcome, newest.instance_count, newest.skipped_count) == ("fired", 1, 1)
    assert (len(busy.orders()), len(free.orders())) == (0, 1)
    steps = plane.dispatcher.explain(invocation.invoke_id, "host-1").steps
    assert (steps[-1].what, order.invocation_id in steps[-1].detail) == ("skipped", True)


def test_run_is_a_row_with_its_reason_when_every_host_is_busy(plane, host, beat) -> None:
    """Nobody took part: that is told, not left out."""
    one = host()
    invocation = schedule(plane)
    beat.at(next_time(plane, invocation))
    one.start(one.orders()[0].invocation_id)
    plane.settle()

    beat.at(next_time(plane, invocation))

    assert outcomes(invocation) == ["fired", "skipped"]
    assert "still active" in invocation.runs()[0].reason


def test_queued_run_begins_when_the_active_one_ends_and_a_second_is_skipped(plane, host, beat) -> None:
    """One waits, not more."""
    one = host()
    invocation = schedule(plane, overlap="queue")
    beat.at(next_time(plane, invocation))
    first = one.orders()[0].invocation_id
    one.start(first)
    plane.settle()
    for _ in range(2):
        last = next_time(plane, invocation)
        beat.at(last)
    waiting = outcomes(invocation)

    one.finish(first)
    plane.settle()
    beat.at(last)

    assert waiting == ["fired", "queued", "skipped"]
    assert len(run_through(plane, one)) == 1
    assert (row(invocation).repeats, invocation.status) == (2, "Scheduled")
    assert sorted(outcomes(invocation)) == ["fired", "fired", "queued", "skipped"]


def test_queued_run_is_the_last_one_when_the_schedule_is_over(plane, host, beat) -> None:
    """What waits still runs; the schedule ends with it."""
    one = host()
    invocation = schedule(plane, overlap="queue", max_runs=2)
    beat.at(next_time(plane, invocation))
    first = one.orders()[0].invocation_id
    one.start(first)
    plane.settle()
    last = next_time(plane, invocation)
    beat.at(last)

    one.finish(first, "Failed", exit_code=1)
    plane.settle()
    between = invocation.status
    beat.at(last)
    run_through(plane, one)

    assert (between, invocation.status, row(invocation).repeats) == ("Scheduled", "Success", 2)
    assert not plane.store.client.exists("fleethand:due", "fleethand:schedules")


def test_parallel_runs_are_active_at_once(plane, host, beat) -> None:
    """The row is Running until the last of them has ended."""
    one = host()
    invocation = schedule(plane, overlap="parallel")
    for _ in range(2):
        beat.at(next_time(plane, invocation))
    first, second = one.orders()
    for order in (first, second):
        one.start(order.invocation_id)
    one.finish(first.invocation_id)
    plane.settle()
    between = invocation.status
    one.finish(second.invocation_id)
    plane.settle()

    assert (between, invocation.status, row(invocation).repeats) == ("Running", "Scheduled", 2)


@pytest.mark.parametrize(
    "case",
    [("skip", 0, {"missed": 10}), ("latest", 1, {"missed": 9, "fired": 1}), ("all", 10, {"fired": 1, "queued": 9})],
)
def test_outage_is_treated_as_the_misfire_policy_says(plane, host, beat, case) -> None:
    """Ten times passed: none is run, or the latest, or each, one after the other; and each has its row."""
    misfire, ran, expected = case
    one = host()
    invocation = schedule(plane, misfire=misfire)
    resumed = (
        next_time(plane, invocation) + OUTAGE - timedelta(seconds=15)
    )  # the last due is long past, the next is not

    beat.at(resumed)

    found = outcomes(invocation)
    assert {outcome: found.count(outcome) for outcome in found} == expected
    done = 0
    while run_through(plane, one):
        done += 1
        beat.at(resumed)
    assert done == ran
    assert next_time(plane, invocation) > resumed
    assert row(invocation).repeats == ran


def test_missed_runs_are_made_up_for_up_to_the_bound(make_plane, redis_client, plane, host, beat) -> None:
    """`schedule_catch_up_max` is the most; the older ones stay missed."""
    host()
    beat.engine._bounds = beat.engine._bounds._replace(catch_up_max=3)
    invocation = schedule(plane, misfire="all")

    beat.at(next_time(plane, invocation) + OUTAGE - timedelta(seconds=15))

    assert outcomes(invocation) == ["missed"] * 7 + ["fired", "queued", "queued"]


def test_month_of_outage_costs_a_bounded_number_of_rows(plane, host, beat) -> None:
    """The newest missed times have a row each; of all before them, one row tells, and stays in the list."""
    host()
    invocation = schedule(plane)
    first = next_time(plane, invocation)

    beat.at(first + timedelta(days=30, seconds=45))

    runs = invocation.runs(1000)
    assert {run.outcome for run in runs} == {"missed"}
    assert [run.due_time for run in reversed(runs)] == [
        first + timedelta(days=30) - minutes * MINUTE for minutes in range(49, -1, -1)
    ]
    assert f"tells of all times since {first:%Y-%m-%dT%H:%M:%SZ}" in runs[-1].reason
    assert next_time(plane, invocation) == first + timedelta(days=30) + MINUTE


def test_latest_runs_the_newest_time_after_a_long_outage(plane, host, beat) -> None:
    """After 17 minutes of a run every ten seconds there are more missed times than rows; the newest is the one."""
    one = host()
    invocation = schedule(plane, "0/10 * * * * ? * UTC", misfire="latest")
    newest = next_time(plane, invocation) + 17 * MINUTE
    beat.engine._bounds = beat.engine._bounds._replace(grace_ms=1_000)

    beat.at(newest + timedelta(seconds=5))
    run_through(plane, one)

    runs = invocation.runs(1000)
    assert [run.due_time for run in runs if run.outcome == "fired"] == [newest]
    assert runs[0].due_time == newest
    assert len(runs) == 50
    assert row(invocation).repeats == 1


def test_short_delay_is_no_misfire(plane, host, beat) -> None:
    """Within the grace a run is late, and runs."""
    one = host()
    invocation = schedule(plane)

    beat.at(next_time(plane, invocation) + timedelta(seconds=29))

    assert outcomes(invocation) == ["fired"]
    assert len(one.orders()) == 1


def test_at_that_was_missed_ends_as_invalid_and_says_so(plane, host, beat) -> None:
    """What was to run once and did not must not look as if somebody had stopped it."""
    host()
    at = (beat.now() + MINUTE).replace(microsecond=0)
    invocation = schedule(plane, f"at({at:%Y-%m-%d %H:%M:%S})")

    beat.at(at + OUTAGE)

    assert (row(invocation).invocation_status, row(invocation).error_code) == ("Invalid", "AtExpressionExpired")
    assert outcomes(invocation) == ["missed"]
    assert invocation.status == "Failed"


def test_jitter_puts_a_run_off_and_does_not_change_what_it_is(plane, host, beat) -> None:
    """The run fires within the jitter after its due time, always the same for the same run, and is known by that."""
    one = host()
    invocation = schedule(plane, jitter_s=30)
    due = next_time(plane, invocation)
    (entry,) = plane.store.schedules.entries_of(invocation.invoke_id)
    act = entry.act_ms / 1000

    beat.at(due + timedelta(seconds=act - due.timestamp() - 0.001))
    early = one.orders()
    beat.at(due + timedelta(seconds=act - due.timestamp()))

    assert not early
    assert 0 <= act - due.timestamp() < 30
    assert [run.due_time for run in invocation.runs()] == [due]
    assert len(one.orders()) == 1


def test_start_and_end_bound_the_runs(plane, host, beat) -> None:
    """No run before the start; after the last one before the end, the schedule is over."""
    one = host()
    start = (beat.now() + OUTAGE).replace(second=0, microsecond=0)
    invocation = schedule(plane, start_at=start, end_at=start + MINUTE)
    first = next_time(plane, invocation)

    for moment in (start, start + MINUTE):
        beat.at(moment)
        run_through(plane, one)

    assert first == start
    assert outcomes(invocation) == ["fired", "fired"]
    assert invocation.wait(1).invocation_status == "Success"


def test_blackout_holds_runs_back_and_shows_them(plane, host, beat) -> None:
    """Nothing fires in the window; what was held back is a row that names the window."""
    one = host()
    begin = (beat.now() + 3 * MINUTE).replace(second=0, microsecond=0)
    window = f"{begin:%Y-%m-%d %H:%M}/{begin + 2 * MINUTE:%Y-%m-%d %H:%M} UTC"
    invocation = schedule(plane, blackout=[window])

    while (due := next_time(plane, invocation)) <= begin + 2 * MINUTE:
        beat.at(due)
        run_through(plane, one)

    held = [run for run in invocation.runs() if run.outcome == "held back"]
    assert [run.due_time for run in reversed(held)] == [begin, begin + MINUTE]
    assert all(window in run.reason for run in held)
    assert outcomes(invocation)[-1] == "fired"


def test_missed_run_is_not_made_up_for_in_a_blackout(plane, host, beat) -> None:
    """A window is a time when nothing fires, whatever is due for what reason."""
    one = host()
    begin = (beat.now() + 3 * MINUTE).replace(second=0, microsecond=0)
    window = f"{begin:%Y-%m-%d %H:%M}/{begin + 9 * MINUTE:%Y-%m-%d %H:%M} UTC"
    invocation = schedule(plane, "0 0/2 * * * ? * UTC", misfire="all", blackout=[window])

    beat.at(begin + 5 * MINUTE)

    assert "fired" not in outcomes(invocation)
    assert not one.orders()


def test_paused_schedule_fires_nothing_and_tells_what_passed(plane, host, beat) -> None:
    """It goes on with the next time after it is resumed."""
    one = host()
    invocation = schedule(plane)
    plane.dispatcher.pause_schedule(invocation.invoke_id)
    for _ in range(2):
        beat.at(next_time(plane, invocation))
    while_paused = plane.dispatcher.describe_schedules().items[0].paused_time

    plane.dispatcher.resume_schedule(invocation.invoke_id)
    beat.at(next_time(plane, invocation))

    assert while_paused is not None
    assert outcomes(invocation) == ["paused", "paused", "fired"]
    assert len(one.orders()) == 1


def test_runs_of_one_time_are_kept_together_however_many_hosts_they_are_for(make_plane, plane, host, beat) -> None:
    """Where a run waits host by host, one time is as many runs as hosts; none of their results pushes another out."""
    hosts = [host(f"host-{number}") for number in range(5)]
    beat.engine._expander._settings = make_plane(schedule_runs_kept=3).settings
    invocation = schedule(plane, all_instances=True, overlap="queue")
    beat.at(next_time(plane, invocation))
    first = {one: one.orders()[0].invocation_id for one in hosts}
    for one, run_id in first.items():
        one.start(run_id)
    plane.settle()
    due = next_time(plane, invocation)
    beat.at(due)
    for one, run_id in first.items():
        one.finish(run_id)
    plane.settle()
    beat.at(due)
    for one in hosts:
        run_through(plane, one)

    history = plane.dispatcher.describe_invocation_results(invocation.invoke_id, include_history=True, max_results=50)
    assert len(history.items) == 10
    for _ in range(2):
        beat.at(next_time(plane, invocation))
        for one in hosts:
            run_through(plane, one)
    assert len({run.due_time for run in invocation.runs(100)}) == 3
    assert not [run for run in invocation.runs(100) if run.due_time < due]


def test_outage_leaves_half_of_the_list_to_what_ran_before(plane, host, beat) -> None:
    """What nobody ran does not push out the results of what did."""
    one = host()
    invocation = schedule(plane)
    for _ in range(3):
        beat.at(next_time(plane, invocation))
        run_through(plane, one)

    beat.at(next_time(plane, invocation) + timedelta(days=1, seconds=45))

    assert [run.outcome for run in invocation.runs(1000)] == ["missed"] * 50 + ["fired"] * 3
    assert len(plane.dispatcher.describe_invocation_results(invocation.invoke_id, include_history=True).items) == 3


def test_list_of_runs_is_bounded_and_what_falls_off_is_gone(make_plane, plane, host, beat) -> None:
    """A schedule that lives for years keeps `schedule_runs_kept` times, and the results of as many runs."""
    one = host()
    beat.engine._expander._settings = make_plane(schedule_runs_kept=3).settings
    invocation = schedule(plane)
    ids = []
    for _ in range(5):
        beat.at(next_time(plane, invocation))
        ids += run_through(plane, one)

    assert [run.run_id for run in reversed(invocation.runs())] == ids[2:]
    assert [plane.store.invocations.head(run_id) is None for run_id in ids] == [True, True, False, False, False]
    assert row(invocation).repeats == 5
    assert EVERY_MINUTE in plane.dispatcher.describe_schedules().items[0].frequency
