"""Clock changes: known answers for what is left out and what is repeated, in zones of every kind."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fleethand_dispatcher.schedules.frequency import parse_frequency

GAPS = [
    ("0 30 2 * * ? Europe/Berlin", "2026-03-28T02:00", ["03-29T01:30", "03-30T00:30"]),
    ("0 0 3 * * ? Europe/Berlin", "2026-03-28T03:00", ["03-29T01:00", "03-30T01:00"]),
    ("0 30 2,3 * * ? Europe/Berlin", "2026-03-28T03:00", ["03-29T01:30", "03-30T00:30"]),
    ("0 */30 * * * ? Europe/Berlin", "2026-03-29T00:15", ["03-29T00:30", "03-29T01:00", "03-29T01:30", "03-29T02:00"]),
    ("0 0 */2 * * ? Europe/Berlin", "2026-03-28T22:30", ["03-28T23:00", "03-29T01:00", "03-29T02:00", "03-29T04:00"]),
    ("0 30 2 * * ? America/New_York", "2026-03-07T08:00", ["03-08T07:30", "03-09T06:30"]),
    ("0 15 2 * * ? Australia/Lord_Howe", "2026-10-02T20:00", ["10-03T15:45", "10-04T15:15"]),
    ("0 15 * * * ? Australia/Lord_Howe", "2026-10-03T14:00", ["10-03T14:45", "10-03T15:45", "10-03T16:15"]),
    ("0 0 12 30 12 ? Pacific/Apia", "2011-01-01T00:00", ["12-30T22:00"]),
    ("0 0 12 * * ? Pacific/Apia", "2011-12-29T00:00", ["12-29T22:00", "12-30T22:00", "12-31T22:00"]),
    ("0 0 12 ? * FRI Pacific/Apia", "2011-12-29T00:00", ["12-30T22:00"]),
]
OVERLAPS = [
    ("0 30 2 * * ? Europe/Berlin", "2026-10-24T02:00", ["10-25T00:30", "10-26T01:30"]),
    ("0 30 2 * * ? Europe/Berlin", "2026-10-25T00:45", ["10-26T01:30"]),
    ("0 30 2 * * ? Europe/Berlin", "2026-10-25T01:10", ["10-26T01:30"]),
    ("0 0 3 * * ? Europe/Berlin", "2026-10-24T02:00", ["10-25T02:00", "10-26T02:00"]),
    ("0 10,50 2 * * ? Europe/Berlin", "2026-10-25T00:00", ["10-25T00:10", "10-25T00:50", "10-26T01:10"]),
    ("0 */30 * * * ? Europe/Berlin", "2026-10-25T00:15", ["10-25T00:30", "10-25T01:00", "10-25T01:30", "10-25T02:00"]),
    ("0 */20 2 25 10 ? Europe/Berlin", "2026-10-25T00:45", ["10-25T01:00", "10-25T01:20", "10-25T01:40"]),
    ("0 30 1 * * ? America/New_York", "2026-10-31T06:00", ["11-01T05:30", "11-02T06:30"]),
    ("0 30 * * * ? America/New_York", "2026-11-01T05:00", ["11-01T05:30", "11-01T06:30", "11-01T07:30"]),
    ("0 45 1 * * ? Australia/Lord_Howe", "2026-04-04T00:00", ["04-04T14:45", "04-05T15:15"]),
    ("0 45 * * * ? Australia/Lord_Howe", "2026-04-04T14:00", ["04-04T14:45", "04-04T15:15", "04-04T16:15"]),
    ("0 0 0 * * ? America/Havana", "2026-10-31T12:00", ["11-01T04:00", "11-02T05:00"]),
]
ODD_ZONES = [
    ("0 0 9 * * ? Asia/Kathmandu", "2026-07-01T12:00", ["07-02T03:15"]),
    ("0 0 9 * * ? GMT+5:45", "2026-07-01T12:00", ["07-02T03:15"]),
    ("0 0 9 * * ? GMT-3:30", "2026-07-01T12:00", ["07-01T12:30"]),
    ("0 0 0 1 1 ? Pacific/Kiritimati", "2026-07-01T12:00", ["12-31T10:00"]),
    ("0 59 23 31 12 ? GMT-12:00", "2026-07-01T12:00", ["01-01T11:59"]),
    ("0 0 9 * * ? Etc/GMT+8", "2026-07-01T12:00", ["07-01T17:00"]),
]


def fires(text: str, after: str, count: int) -> list[str]:
    """Return the next times in UTC."""
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    frequency = parse_frequency(text, now=moment)
    found: list[str] = []
    while len(found) < count:
        following = frequency.next_after(moment, created=moment)
        assert following is not None
        moment = following
        found.append(f"{moment:%m-%dT%H:%M}")
    return found


@pytest.mark.parametrize(("text", "after", "expected"), GAPS)
def test_time_that_the_clock_leaves_out_comes_later_by_the_gap(text: str, after: str, expected: list[str]) -> None:
    """02:30 is 03:30 on that day, once, even if 03:30 is due as well; nothing is silently skipped."""
    assert expected == fires(text, after, len(expected))


@pytest.mark.parametrize(("text", "after", "expected"), OVERLAPS)
def test_time_that_the_clock_shows_twice_fires_once_and_a_rhythm_goes_on(
    text: str, after: str, expected: list[str]
) -> None:
    """A time of day fires at its first showing; with a star or a step in hour or minute, at both."""
    assert expected == fires(text, after, len(expected))


@pytest.mark.parametrize(("text", "after", "expected"), ODD_ZONES)
def test_zones_with_odd_offsets_are_exact(text: str, after: str, expected: list[str]) -> None:
    """Quarters of an hour, both ends of the world, and a year that ends in the next one of UTC."""
    assert expected == fires(text, after, len(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at(2027-03-28 02:30:00 Europe/Berlin)", "2027-03-28T01:30:00+00:00"),
        ("at(2027-10-31 02:30:00 Europe/Berlin)", "2027-10-31T00:30:00+00:00"),
        ("at(2027-10-31 02:30:00 GMT+1:00)", "2027-10-31T01:30:00+00:00"),
    ],
)
def test_at_follows_the_same_rules(text: str, expected: str) -> None:
    """A time left out comes later, a repeated one is the first; an offset says which one is meant."""
    now = datetime(2026, 7, 1, tzinfo=UTC)

    run = parse_frequency(text, now=now).first_run(created=now)

    assert run is not None
    assert expected == run.isoformat()


def test_every_day_of_ten_years_has_its_run() -> None:
    """A daily time that is left out once a year and repeated once a year never fails and never doubles."""
    start, berlin = datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    frequency = parse_frequency("0 30 2 * * ? Europe/Berlin", now=start)
    days: list[str] = []
    moment: datetime | None = frequency.next_after(start, created=start)
    while moment and moment < start + timedelta(days=3650):
        days.append(f"{moment.astimezone(berlin):%Y-%m-%d}")
        moment = frequency.next_after(moment, created=start)

    assert [f"{start + timedelta(days=day):%Y-%m-%d}" for day in range(3650)] == days
