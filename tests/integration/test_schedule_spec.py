"""Rows of the specification on how schedules behave (6.4, 2.9, 2.10, 18.4) that no other test is about."""

from datetime import timedelta

import pytest

from beat import MINUTE, begin_run, next_time, outcomes, row, run_through, schedule
from refusals import refused


def test_frequency_makes_a_once_a_period_and_first_runs_an_interval_later(plane, host, beat) -> None:
    """2.5 and 18.4: `rate(5m)` with `RepeatMode=Once` is `Period`; nothing runs when it is made."""
    one = host()

    invocation = schedule(plane, "rate(5m)", repeat_mode="Once")

    record = invocation.record()
    assert (record.repeat_mode, record.frequency, invocation.status) == ("Period", "rate(5m)", "Scheduled")
    assert next_time(plane, invocation) == record.creation_time.replace(microsecond=0) + 5 * MINUTE
    beat.at(next_time(plane, invocation) - timedelta(seconds=1))
    assert not one.orders()


def test_skipped_tick_does_not_count_as_a_run(plane, host, beat) -> None:
    """6.4 and 18.4: the tick is skipped and `Repeats` stays; the run that is active is not disturbed."""
    one = host()
    invocation = schedule(plane)
    run_id = begin_run(plane, beat, one, invocation)

    for _ in range(2):
        beat.at(next_time(plane, invocation))

    assert (row(invocation).repeats, row(invocation).invocation_status) == (1, "Running")
    assert not one.orders()
    one.finish(run_id, exit_code=0)
    plane.settle()
    assert (row(invocation).repeats, row(invocation).invocation_status) == (1, "Scheduled")


@pytest.mark.parametrize(("status", "code"), [("Timeout", "ExecutionTimeout"), ("Error", "ExecutionException")])
def test_run_that_ends_badly_does_not_disturb_the_next(plane, host, beat, status: str, code: str) -> None:
    """6.4: the timeout is each run's own; 5.2: the bad end stands in that run's row, the live row is Scheduled."""
    one = host()
    invocation = schedule(plane)
    limits = []
    for ending in ({"status": status, "error_code": code}, {}):
        beat.at(next_time(plane, invocation))
        (order,) = one.orders()
        limits.append(order.timeout_s)
        one.start(order.invocation_id)
        one.finish(order.invocation_id, **ending)
        plane.settle()

    history = plane.dispatcher.describe_invocation_results(invocation.invoke_id, include_history=True).items
    assert limits == [5, 5]
    assert [(result.invocation_status, result.error_code) for result in history] == [("Success", ""), (status, code)]
    assert (row(invocation).repeats, invocation.status, outcomes(invocation)) == (2, "Scheduled", ["fired", "fired"])


def test_cron_whose_only_time_was_missed_ends_as_invalid_and_says_so(plane, host, beat) -> None:
    """6.4: expired on arrival is `CronExpressionExpired`; it never ran, and nobody stopped it."""
    host()
    at = beat.now() + 2 * MINUTE
    invocation = schedule(plane, f"0 {at:%M %H %d %m} ? {at:%Y} UTC")

    beat.at(at + 10 * MINUTE)

    assert (row(invocation).invocation_status, row(invocation).error_code) == ("Invalid", "CronExpressionExpired")
    assert (row(invocation).repeats, outcomes(invocation), invocation.status) == (0, ["missed"], "Failed")


def test_cron_ends_with_the_run_that_leaves_no_next_one(plane, host, beat) -> None:
    """6.4: the schedule is over after its last time, by the run's own end and not by its beginning."""
    one = host()
    at = beat.now() + 2 * MINUTE
    invocation = schedule(plane, f"0 {at:%M %H %d %m} ? {at:%Y} UTC")
    run_id = begin_run(plane, beat, one, invocation)
    during = invocation.status

    one.finish(run_id, exit_code=0)
    plane.settle()

    assert (during, invocation.status, row(invocation).repeats) == ("Running", "Success", 1)
    assert not plane.dispatcher.describe_schedules().items


def test_history_is_for_one_schedule(plane, host) -> None:
    """2.10: `IncludeHistory` requires the id of what repeats; an empty page would look as if nothing had run."""
    host()
    once = plane.dispatcher.run_command(command_content="true", instance_ids=["host-1"])

    with refused("InvalidOperation.RepeatModeUnsupported"):
        plane.dispatcher.describe_invocation_results(once.invoke_id, include_history=True)
    with refused("InvalidInvokeId.NotFound"):
        plane.dispatcher.describe_invocation_results("t-nosuch", include_history=True)
    with refused("InvalidParameter"):
        plane.dispatcher.describe_invocation_results(instance_id="host-1", include_history=True)


@pytest.mark.parametrize(("ran_before", "ends_as"), [(0, "Cancelled"), (1, "Stopped")])
def test_stop_of_a_run_that_has_not_started_is_no_execution(plane, host, beat, ran_before: int, ends_as: str) -> None:
    """2.7 and 5.2: what never started is not in `Repeats`; both ends are `Stopped` of the whole."""
    one = host()
    invocation = schedule(plane)
    for _ in range(ran_before):
        beat.at(next_time(plane, invocation))
        run_through(plane, one)
    beat.at(next_time(plane, invocation))

    told = invocation.stop()
    (stop,) = one.stops()
    one.finish(stop.invocation_id, "Cancelled", started_at_ms=None)
    plane.settle()

    assert told == {"host-1": "stopping"}
    assert (row(invocation).repeats, row(invocation).invocation_status) == (ran_before, ends_as)
    assert invocation.status == "Stopped"
