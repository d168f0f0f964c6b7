"""Cron: known answers for every form of the specification, written out by hand from a calendar."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fleethand_dispatcher.schedules.frequency import FrequencyKind, parse_frequency

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday


def fires(text: str, *, count: int, after: datetime = NOW, own: str = "UTC") -> list[str]:
    """Return the next times of an expression, as its zone's or the instance's own wall clock shows them."""
    frequency = parse_frequency(text, now=after)
    zone = frequency.zone or ZoneInfo(own)
    found: list[str] = []
    moment: datetime | None = after
    while moment and len(found) < count:
        moment = frequency.next_after(moment, created=after, zone=zone)
        if moment:
            found.append(f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}")
    return found


TABLE_OF_THE_API = [
    ("0 */20 * * * *", ["2026-07-01 12:20:00", "2026-07-01 12:40:00", "2026-07-01 13:00:00"]),
    ("0 15 10 ? * *", ["2026-07-02 10:15:00", "2026-07-03 10:15:00"]),
    ("0 15 10 * * ?", ["2026-07-02 10:15:00", "2026-07-03 10:15:00"]),
    ("0 0 12 * * ?", ["2026-07-02 12:00:00", "2026-07-03 12:00:00"]),
    ("0 0 10,14,16 * * ?", ["2026-07-01 14:00:00", "2026-07-01 16:00:00", "2026-07-02 10:00:00"]),
    ("0 0/30 9-17 * * ?", ["2026-07-01 12:30:00", "2026-07-01 13:00:00"]),
    ("0 * 14 * * ?", ["2026-07-01 14:00:00", "2026-07-01 14:01:00"]),
    ("0 0-5 14 * * ?", [*(f"2026-07-01 14:0{minute}:00" for minute in range(6)), "2026-07-02 14:00:00"]),
    ("0 0/5 14,18 * * ?", [f"2026-07-01 {h}:{m:02}:00" for h in (14, 18) for m in range(0, 60, 5)]),
    ("0 0 12 ? * WED", ["2026-07-08 12:00:00", "2026-07-15 12:00:00"]),
    ("0 15 10 15 * ?", ["2026-07-15 10:15:00", "2026-08-15 10:15:00"]),
    ("0 15 10 L * ?", ["2026-07-31 10:15:00", "2026-08-31 10:15:00", "2026-09-30 10:15:00"]),
    ("0 15 10 ? * 6L", ["2026-07-25 10:15:00", "2026-08-29 10:15:00", "2026-09-26 10:15:00"]),
    ("0 15 10 ? * 6#3", ["2026-07-18 10:15:00", "2026-08-15 10:15:00", "2026-09-19 10:15:00"]),
    ("0 10,44 14 ? 3 WED", ["2027-03-03 14:10:00", "2027-03-03 14:44:00", "2027-03-10 14:10:00"]),
    ("0 15 10 ? * * 2027 Asia/Shanghai", ["2027-01-01 10:15:00", "2027-01-02 10:15:00"]),
    ("0 0/30 10-11 * * ? 2027 GMT+8:00", [f"2027-01-01 {h}:{m}:00" for h in (10, 11) for m in ("00", "30")]),
    ("0 0/5 14 * 10 ? 2022/2 UTC", [f"2026-10-01 14:{m:02}:00" for m in range(0, 60, 5)]),
]
FIELDS = [
    ("30 59 23 31 12 ?", ["2026-12-31 23:59:30", "2027-12-31 23:59:30"]),
    ("15,45 0 0 1 1 ?", ["2027-01-01 00:00:15", "2027-01-01 00:00:45", "2028-01-01 00:00:15"]),
    ("0/20 30 12 * * ?", ["2026-07-01 12:30:00", "2026-07-01 12:30:20", "2026-07-01 12:30:40", "2026-07-02 12:30:00"]),
    ("0 3/20 12 * * ?", ["2026-07-01 12:03:00", "2026-07-01 12:23:00", "2026-07-01 12:43:00", "2026-07-02 12:03:00"]),
    ("0 59/15 12 * * ?", ["2026-07-01 12:59:00", "2026-07-02 12:59:00"]),
    ("0 5-5 12 * * ?", ["2026-07-01 12:05:00", "2026-07-02 12:05:00"]),
    ("0 50-10/10 12 * * ?", ["2026-07-01 12:10:00", "2026-07-01 12:50:00", "2026-07-02 12:00:00"]),
    ("0 05 08 07 06 ?", ["2027-06-07 08:05:00"]),
    ("0 0 22-2 * * ?", ["2026-07-01 22:00:00", "2026-07-01 23:00:00", "2026-07-02 00:00:00", "2026-07-02 01:00:00"]),
    ("0 0 0 1,15 nov-FEB ?", ["2026-11-01 00:00:00", "2026-11-15 00:00:00", "2026-12-01 00:00:00"]),
    ("0 0 0 1 January,7 ?", ["2027-01-01 00:00:00", "2027-07-01 00:00:00"]),
    ("0 0 0 1 */5 ?", ["2026-11-01 00:00:00", "2027-01-01 00:00:00", "2027-06-01 00:00:00"]),
    ("0 0 0 ? * 1", ["2026-07-06 00:00:00"]),
    ("0 0 0 ? * 7", ["2026-07-05 00:00:00"]),
    ("0 0 0 ? * Mon-FRI", ["2026-07-02 00:00:00", "2026-07-03 00:00:00", "2026-07-06 00:00:00"]),
    ("0 0 0 ? * fri-MON/2", ["2026-07-03 00:00:00", "2026-07-05 00:00:00", "2026-07-10 00:00:00"]),
    ("0 0 0 ? * 2/3", ["2026-07-03 00:00:00", "2026-07-07 00:00:00", "2026-07-10 00:00:00"]),
    ("0 0 0 ? * thursday", ["2026-07-02 00:00:00", "2026-07-09 00:00:00"]),
    ("0 0 0 1 1 ? *", ["2027-01-01 00:00:00", "2028-01-01 00:00:00"]),
    ("0 0 0 1 1 ? ?", ["2027-01-01 00:00:00"]),
    ("0 0 0 1 1 ? 2028,2030", ["2028-01-01 00:00:00", "2030-01-01 00:00:00"]),
    ("0 0 0 1 1 ? 2020-2028", ["2027-01-01 00:00:00", "2028-01-01 00:00:00"]),
    ("0 0 0 1 1 ? */4", ["2030-01-01 00:00:00", "2034-01-01 00:00:00"]),
]
SPECIAL_DAYS = [
    ("0 0 9 15W * ?", ["2026-07-15 09:00:00", "2026-08-14 09:00:00", "2026-09-15 09:00:00"]),
    ("0 0 9 5W * ?", ["2026-07-06 09:00:00", "2026-08-05 09:00:00", "2026-09-04 09:00:00"]),
    ("0 0 9 1W * ?", ["2026-08-03 09:00:00", "2026-09-01 09:00:00"]),
    ("0 0 9 31W * ?", ["2026-07-31 09:00:00", "2026-08-31 09:00:00", "2026-10-30 09:00:00", "2026-12-31 09:00:00"]),
    ("0 0 9 5W,20W * ?", ["2026-07-06 09:00:00", "2026-07-20 09:00:00", "2026-08-05 09:00:00"]),
    ("0 0 9 LW * ?", ["2026-07-31 09:00:00", "2026-08-31 09:00:00", "2026-09-30 09:00:00", "2026-10-30 09:00:00"]),
    ("0 0 9 LW 2 ?", ["2027-02-26 09:00:00", "2028-02-29 09:00:00"]),
    ("0 0 9 L,15 * ?", ["2026-07-15 09:00:00", "2026-07-31 09:00:00"]),
    ("0 0 9 l 2 ?", ["2027-02-28 09:00:00", "2028-02-29 09:00:00"]),
    ("0 0 9 29 2 ?", ["2028-02-29 09:00:00", "2032-02-29 09:00:00"]),
    ("0 0 9 31 * ?", ["2026-07-31 09:00:00", "2026-08-31 09:00:00", "2026-10-31 09:00:00"]),
    ("0 0 9 ? * 5#5", ["2026-07-31 09:00:00", "2026-10-30 09:00:00", "2027-01-29 09:00:00"]),
    ("0 0 9 ? * 4#2", ["2026-07-09 09:00:00", "2026-08-13 09:00:00"]),
    ("0 0 9 ? * sun#1,7#3", ["2026-07-05 09:00:00", "2026-07-19 09:00:00", "2026-08-02 09:00:00"]),
    ("0 0 9 ? * friL", ["2026-07-31 09:00:00", "2026-08-28 09:00:00"]),
    ("0 0 9 ? * 7L", ["2026-07-26 09:00:00", "2026-08-30 09:00:00"]),
    ("0 0 9 ? * L", ["2026-07-05 09:00:00", "2026-07-12 09:00:00"]),
    ("0 0 9 ? * TUE,5L,L", ["2026-07-05 09:00:00", "2026-07-07 09:00:00", "2026-07-12 09:00:00"]),
    ("0 0 9 ? 2 1#5 2044", ["2044-02-29 09:00:00"]),
]
EITHER_DAY = [
    ("0 0 0 10 * MON", ["2026-07-06 00:00:00", "2026-07-10 00:00:00", "2026-07-13 00:00:00"]),
    ("0 0 0 1-31 * MON", ["2026-07-02 00:00:00", "2026-07-03 00:00:00"]),
    ("0 0 0 */10 * SUN", ["2026-07-05 00:00:00", "2026-07-11 00:00:00", "2026-07-12 00:00:00"]),
    ("0 0 0 LW * 6#1", ["2026-07-04 00:00:00", "2026-07-31 00:00:00", "2026-08-01 00:00:00"]),
    ("0 0 0 31 2 WED", ["2027-02-03 00:00:00", "2027-02-10 00:00:00"]),
]


@pytest.mark.parametrize(("text", "expected"), TABLE_OF_THE_API)
def test_examples_of_the_api_mean_what_its_table_says(text: str, expected: list[str]) -> None:
    """Each expression of the API's own table; 2022 has become 2027 where it would be over."""
    assert expected == fires(text, count=len(expected))


@pytest.mark.parametrize(("text", "expected"), FIELDS)
def test_fields_take_lists_ranges_steps_and_names(text: str, expected: list[str]) -> None:
    """Every form of every field, in any case, with one leading zero, and ranges that run over the end."""
    assert expected == fires(text, count=len(expected))


@pytest.mark.parametrize(("text", "expected"), SPECIAL_DAYS)
def test_special_days_are_found_in_months_of_every_length(text: str, expected: list[str]) -> None:
    """`L`, `W`, `LW`, `nL` and `n#k`, also where a month has no such day."""
    assert expected == fires(text, count=len(expected))


@pytest.mark.parametrize(("text", "expected"), EITHER_DAY)
def test_either_day_field_may_match_when_both_restrict(text: str, expected: list[str]) -> None:
    """A field that happens to list every day restricts too; one that never matches leaves the other."""
    assert expected == fires(text, count=len(expected))


@pytest.mark.parametrize(
    ("text", "kind", "zone_name"),
    [
        ("rate(5m)", FrequencyKind.RATE, ""),
        ("at(2027-01-01 09:00:00)", FrequencyKind.AT, "UTC"),
        ("0 0 9 * * ?", FrequencyKind.CRON, ""),
        ("0 0 9 * * ? 2027", FrequencyKind.CRON, ""),
        ("0 0 9 * * ? utc", FrequencyKind.CRON, "utc"),
        ("0 0 9 * * ? Europe/Berlin", FrequencyKind.CRON, "Europe/Berlin"),
        ("0 0 9 * * ? * GMT-3:30", FrequencyKind.CRON, "GMT-3:30"),
    ],
)
def test_seventh_field_is_a_year_or_a_zone(text: str, kind: FrequencyKind, zone_name: str) -> None:
    """What has letters in it is a zone; the zone's name is told as it was written."""
    frequency = parse_frequency(f"  {text} ", now=NOW)

    assert (text, kind, zone_name) == (frequency.text, frequency.kind, frequency.zone_name)
    assert bool(zone_name) == (frequency.zone is not None)


def test_cron_without_a_zone_goes_by_each_instances_own() -> None:
    """09:00 is another moment in each zone, and UTC's where an instance has told none."""
    frequency = parse_frequency("0 0 9 * * ?", now=NOW)

    zones = (ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/New_York"), None)
    found = [frequency.next_after(NOW, created=NOW, zone=zone) for zone in zones]

    assert [(3, 15), (13, 0), (9, 0)] == [(moment.hour, moment.minute) for moment in found if moment]


def test_named_zone_wins_over_the_instances_own() -> None:
    """An expression that names a zone fires at one moment everywhere."""
    frequency = parse_frequency("0 0 9 * * ? Asia/Shanghai", now=NOW)

    assert datetime(2026, 7, 2, 1, tzinfo=UTC) == frequency.next_after(NOW, created=NOW, zone=ZoneInfo("Asia/Tokyo"))


def test_schedule_is_over_after_its_last_year() -> None:
    """The end is `None`, not an error; 2099 is the last year of all."""
    frequency = parse_frequency("0 0 0 31 12 ? 2098/1 America/New_York", now=NOW)

    last = datetime(2099, 12, 31, 5, tzinfo=UTC)
    assert last == frequency.next_after(last - timedelta(days=1), created=NOW)
    assert frequency.next_after(last, created=NOW) is None
    assert parse_frequency("0 0 0 1 1 ?", now=NOW).next_after(last, created=NOW) is None


@pytest.mark.parametrize("text", ["rate(5m)", "at(2026-07-01 12:00:00)", "0 30 12 * * ?", "0 0 9 LW * ? Asia/Tokyo"])
def test_due_time_belongs_to_the_schedule_only_if_it_fires_then(text: str) -> None:
    """A second beside it, or a fraction of one, is no due time."""
    frequency = parse_frequency(text, now=NOW)
    due = frequency.first_run(created=NOW)

    assert due is not None
    assert frequency.is_due_time(due, created=NOW)
    for beside in (timedelta(seconds=1), timedelta(seconds=-1), timedelta(milliseconds=1)):
        assert not frequency.is_due_time(due + beside, created=NOW)


def test_naive_moment_is_refused() -> None:
    """A datetime without a zone would silently be the machine's local time."""
    frequency = parse_frequency("0 30 12 * * ?", now=NOW)

    with pytest.raises(ValueError, match="aware"):
        frequency.next_after(NOW.replace(tzinfo=None), created=NOW)
