"""Rates and single times: forms, the grid, and the ends."""

from datetime import UTC, datetime, timedelta

import pytest

from fleethand_common.errors import RequestError
from fleethand_dispatcher.schedules.frequency import parse_frequency

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "interval_s"),
    [
        ("rate(60s)", 60),
        ("rate(5m)", 300),
        ("rate(36h)", 129_600),
        ("rate(7d)", 604_800),
        ("RATE ( 007 D )", 604_800),
        ("rate(604800s)", 604_800),
    ],
)
def test_rate_first_runs_one_interval_after_the_creation(text: str, interval_s: int) -> None:
    """Never at once; every unit, in any case, with spaces inside."""
    frequency = parse_frequency(text, now=NOW)

    assert NOW + timedelta(seconds=interval_s) == frequency.first_run(created=NOW)


@pytest.mark.parametrize(
    ("after_s", "expected_s"),
    [
        (-900, 300),
        (0, 300),
        (299, 300),
        (300, 600),
        (300.5, 600),
        (100_000, 100_200),
        (86_400 * 3650, 86_400 * 3650 + 300),
    ],
)
def test_rate_keeps_to_its_grid(after_s: float, expected_s: int) -> None:
    """However late it is asked, the next run is a whole number of intervals after the creation: no drift."""
    frequency = parse_frequency("rate(5m)", now=NOW)

    assert NOW + timedelta(seconds=expected_s) == frequency.next_after(NOW + timedelta(seconds=after_s), created=NOW)


def test_rate_counts_from_the_second_of_the_creation() -> None:
    """The API shows the creation in whole seconds, and so are the runs."""
    created = NOW + timedelta(milliseconds=999)

    assert NOW + timedelta(minutes=5) == parse_frequency("rate(5m)", now=created).first_run(created=created)


def test_rate_ends_with_the_calendar() -> None:
    """There is no date after year 9999, and no error either."""
    end = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)

    assert parse_frequency("rate(5m)", now=NOW).next_after(end, created=NOW) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at(2027-01-01 09:00:00)", "2027-01-01T09:00:00+00:00"),
        ("AT ( 2027-01-01  09:00:00  UTC )", "2027-01-01T09:00:00+00:00"),
        ("at(2027-01-01 09:00:00 Asia/Shanghai)", "2027-01-01T01:00:00+00:00"),
        ("at(2027-06-06 13:15:30 GMT-7:00)", "2027-06-06T20:15:30+00:00"),
        ("at(2028-02-29 00:00:00 Asia/Kathmandu)", "2028-02-28T18:15:00+00:00"),
        ("at(2026-12-31 23:59:59 America/New_York)", "2027-01-01T04:59:59+00:00"),
    ],
)
def test_at_fires_once_in_its_zone_or_utc(text: str, expected: str) -> None:
    """After that one time the schedule is over."""
    frequency = parse_frequency(text, now=NOW)

    run = frequency.first_run(created=NOW)

    assert run is not None
    assert expected == run.isoformat()
    assert frequency.next_after(run - timedelta(seconds=1), created=NOW) == run
    assert frequency.next_after(run, created=NOW) is None


def test_at_of_this_second_still_runs_and_the_second_before_has_passed() -> None:
    """Only a time that is over is refused."""
    now = NOW + timedelta(milliseconds=500)

    assert NOW == parse_frequency("at(2026-07-01 12:00:00)", now=now).first_run(created=now)
    with pytest.raises(RequestError) as refused:
        parse_frequency("at(2026-07-01 11:59:59)", now=now)
    assert refused.value.code == "AtExpressionExpired"


@pytest.mark.parametrize("text", ["at(2026-07-01 12:00:00)", "0 0 12 1 7 ? 2026"])
def test_stored_schedule_is_read_again_after_its_end(text: str) -> None:
    """What has ended since its creation is no error: its last run may have been missed and must be accounted for."""
    created, now = NOW - timedelta(hours=1), NOW + timedelta(days=400)

    frequency = parse_frequency(text, now=now, created=created)

    assert NOW == frequency.first_run(created=created)
    assert frequency.next_after(now, created=created) is None
