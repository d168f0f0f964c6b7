"""Blackout windows: what they cover, to the second, and what is refused."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fleethand_common.errors import RequestError
from fleethand_dispatcher.schedules.windows import Blackout, parse_blackout, parse_window

BERLIN = ZoneInfo("Europe/Berlin")
WEEK = 7 * 24 * 60


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-12-24 18:00/2026-12-27 06:00 Europe/Berlin", "2026-12-24T17:00:00", "2026-12-27T04:59:59"),
        ("2026-12-24T18:00 / 2026-12-27T06:00", "2026-12-24T18:00:00", "2026-12-27T05:59:59"),
        ("MON-FRI 09:00-17:00 Europe/Berlin", "2026-07-01T07:00:00", "2026-07-01T14:59:59"),
        ("mon-fri 09:00-17:00 GMT+8:00", "2026-07-01T01:00:00", "2026-07-01T08:59:59"),
        ("SAT,SUN 00:00-24:00", "2026-07-04T00:00:00", "2026-07-05T23:59:59"),
        ("FRI 22:00-MON 06:00", "2026-07-03T22:00:00", "2026-07-06T05:59:59"),
        ("WED 22:00 - 06:00", "2026-07-01T22:00:00", "2026-07-02T05:59:59"),
        ("SUN 22:00-06:00", "2026-07-05T22:00:00", "2026-07-06T05:59:59"),
        ("FRI-MON 00:00-24:00", "2026-07-03T00:00:00", "2026-07-06T23:59:59"),
        ("TUE,THU-FRI 08:00-09:00", "2026-07-02T08:00:00", "2026-07-02T08:59:59"),
    ],
)
def test_window_covers_from_its_start_to_the_second_before_its_end(text: str, first: str, last: str) -> None:
    """Dates, days of the week and stretches from a day to a day, over midnight and over the week's end."""
    window = parse_window(text)
    start, end = (datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (first, last))

    assert text == window.text
    assert not window.covers(start - timedelta(seconds=1))
    assert window.covers(start)
    assert window.covers(start + (end - start) / 2)
    assert window.covers(end)
    assert not window.covers(end + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("MON-SUN 00:00-24:00", WEEK),
        ("MON-FRI 09:00-17:00", 5 * 8 * 60),
        ("MON-FRI 22:00-06:00", 5 * 8 * 60),
        ("MON-SUN 22:00-06:00", 7 * 8 * 60),
        ("FRI 22:00-MON 06:00", 56 * 60),
        ("MON 08:00-MON 07:00", WEEK - 60),
        ("MON 00:00-24:00", 24 * 60),
    ],
)
def test_weekly_window_covers_as_many_minutes_as_it_says(text: str, minutes: int) -> None:
    """Every minute of a week is asked."""
    window, start = parse_window(text), datetime(2026, 7, 1, 12, tzinfo=UTC)

    assert minutes == sum(window.covers(start + timedelta(minutes=minute)) for minute in range(WEEK))


def test_window_goes_by_the_clock_on_the_wall_in_summer_and_winter() -> None:
    """09:00 in Berlin is 07:00 UTC in July and 08:00 in January."""
    window = parse_window("MON-FRI 09:00-17:00 Europe/Berlin")

    assert window.covers(datetime(2026, 7, 1, 7, tzinfo=UTC))
    assert not window.covers(datetime(2027, 1, 6, 7, 59, tzinfo=UTC))
    assert window.covers(datetime(2027, 1, 6, 8, tzinfo=UTC))


def test_window_without_a_zone_goes_by_each_instances_own() -> None:
    """And by UTC's where an instance has told none; a named zone wins."""
    own, named = parse_window("WED 09:00-10:00"), parse_window("WED 09:00-10:00 UTC")
    moment = datetime(2026, 7, 1, 7, 30, tzinfo=UTC)

    assert own.covers(moment, BERLIN)
    assert not own.covers(moment)
    assert not named.covers(moment, BERLIN)


def test_blackout_names_the_first_window_that_covers() -> None:
    """In the caller's order, so that the reason that is shown is always the same."""
    blackout = parse_blackout(["SAT,SUN 00:00-24:00", "2026-07-04 00:00/2026-07-05 00:00", "MON 00:00-01:00"])

    assert blackout.windows[0] == blackout.first_covering(datetime(2026, 7, 4, 12, tzinfo=UTC))
    assert blackout.windows[2] == blackout.first_covering(datetime(2026, 7, 6, tzinfo=UTC))
    assert blackout.first_covering(datetime(2026, 7, 7, tzinfo=UTC)) is None
    assert Blackout().first_covering(datetime(2026, 7, 7, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "InvalidParameter.Blackout", "Write 2026-12-24 18:00/"),
        ("christmas", "InvalidParameter.Blackout", "Cannot read 'christmas'."),
        ("MON," * 250 + "MON 09:00-17:00", "InvalidParameter.Blackout", "1000 are allowed"),
        ("MON 9:00-17:00", "InvalidParameter.Blackout", "MON-FRI 09:00-17:00"),
        ("FOO 09:00-17:00", "InvalidParameter.Blackout", "'FOO' is no day of the week"),
        ("MON-FOO 09:00-17:00", "InvalidParameter.Blackout", "'FOO' is no day of the week"),
        ("MON,,TUE 09:00-17:00", "InvalidParameter.Blackout", "'' is no day of the week"),
        ("MON 09:00-FIR 17:00", "InvalidParameter.Blackout", "'FIR' is no day of the week"),
        ("MON 09:60-17:00", "InvalidParameter.Blackout", "09:60 is out of 00:00-24:00"),
        ("MON 09:00-24:01", "InvalidParameter.Blackout", "24:01 is out of 00:00-24:00"),
        ("MON 09:00-09:00", "InvalidParameter.Blackout", "it ends where it starts; a whole day is 00:00-24:00"),
        ("MON 24:00-06:00", "InvalidParameter.Blackout", "a whole day is 00:00-24:00"),
        ("MON 09:00-MON 09:00", "InvalidParameter.Blackout", "a whole week is MON-SUN 00:00-24:00"),
        ("2026-12-24 18:00/2026-12-24 18:00", "InvalidParameter.Blackout", "it ends before it starts"),
        ("2026-13-24 18:00/2026-12-24 18:00", "InvalidParameter.Blackout", "month must be in 1..12"),
        ("2026-12-24 18:00/2026-12-25 25:00", "InvalidParameter.Blackout", "hour must be in 0..23"),
        ("MON 09:00-17:00 Europe/Berln", "TimezoneInformationCorrupt", "Did you mean Europe/Berlin?"),
    ],
)
def test_window_is_refused_with_what_is_wrong_in_it(text: str, code: str, message: str) -> None:
    """The message holds the part and the way out."""
    with pytest.raises(RequestError) as refused:
        parse_window(text)

    assert code == refused.value.code
    assert message in str(refused.value)
