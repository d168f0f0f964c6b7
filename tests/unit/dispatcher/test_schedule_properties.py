"""Whatever the expression: the same times as the slow definition finds by walking, and times that only go forward."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from fleethand_common.errors import RequestError
from fleethand_dispatcher.schedules.cron import parse_cron
from fleethand_dispatcher.schedules.frequency import Frequency, FrequencyKind, parse_frequency
from fleethand_dispatcher.schedules.windows import parse_window
from slow_cron import MONTHS, WEEKDAYS, SlowCron

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 1, 1, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("America/St_Johns", datetime(2027, 3, 14, 5, 30, tzinfo=UTC)),
]
"""Zones, each with the moment in UTC of a change of its clock; Kathmandu's has none and an odd offset."""


def items(low: int, high: int, names: tuple[str, ...] = (), *, wraps: bool = True) -> st.SearchStrategy[str]:
    """Return any plain item of a field."""
    values = st.integers(low, high)
    spelled = values.map(lambda value: names[value - 1] if names and value % 2 else str(value))
    steps = st.integers(1, min(high - low, 12)).map(lambda step: f"/{step}")
    pairs = st.tuples(spelled, spelled) if wraps else st.tuples(values, values).map(sorted)
    ranges = pairs.map(lambda pair: f"{pair[0]}-{pair[1]}")
    stepped = st.tuples(st.one_of(st.just("*"), spelled, ranges), steps).map("".join)
    return st.one_of(spelled, ranges, stepped)


def fields(item: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return `*` or a list of items."""
    return st.one_of(st.just("*"), st.lists(item, min_size=1, max_size=3).map(",".join))


SECONDS = MINUTES = items(0, 59)
HOURS = items(0, 23)
SPECIAL_DAYS = st.one_of(st.sampled_from(["L", "LW"]), st.integers(1, 31).map(lambda day: f"{day}W"))
DAYS = st.one_of(st.just("?"), fields(st.one_of(SPECIAL_DAYS, items(1, 31))))
WEEKDAY = st.sampled_from([*WEEKDAYS, *"1234567"])
SPECIAL_WEEKDAYS = st.one_of(
    st.just("L"), WEEKDAY.map(lambda day: f"{day}L"), st.tuples(WEEKDAY, st.sampled_from("12345")).map("#".join)
)
WEEKDAY_FIELDS = fields(st.one_of(SPECIAL_WEEKDAYS, items(1, 7, tuple(WEEKDAYS))))
MONTH_FIELDS = st.one_of(st.just("*"), fields(items(1, 12, tuple(MONTHS))))
YEARS = st.one_of(st.just("*"), fields(items(2024, 2032, wraps=False)))


def frequency_of(text: str, zone: str = "UTC") -> Frequency:
    """Read an expression without the limits, which these tests are not about."""
    rule = parse_cron(f"{text} {zone}")
    return Frequency(text=text, kind=FrequencyKind.CRON, zone=rule.zone, zone_name=zone, rule=rule)


def times_of(frequency: Frequency, start: datetime, end: datetime, limit: int) -> list[datetime]:
    """Return the first *limit* times from *start* to *end*."""
    found: list[datetime] = []
    moment: datetime | None = start
    while len(found) < limit:
        moment = frequency.next_after(moment, created=start) if moment else None
        if moment is None or moment > end:
            break
        found.append(moment)
    return found


@settings(max_examples=100, deadline=None)
@given(DAYS, MONTH_FIELDS, WEEKDAY_FIELDS, YEARS, st.integers(0, 1500))
def test_days_are_those_that_walking_from_day_to_day_finds(
    days: str, months: str, weekdays: str, years: str, start_day: int
) -> None:
    """Every special, list, range and step of the day fields, at noon, through more than two years."""
    start = datetime(2025, 1, 1, 12, tzinfo=UTC) + start_day * DAY
    end = start + 800 * DAY
    text = f"0 0 12 {days} {months} {weekdays} {years}"

    walked = list(islice(SlowCron(text).walk(start, end, DAY), 8))

    assert walked == times_of(frequency_of(text), start, end, 8)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CHANGES),
    fields(MINUTES),
    st.one_of(st.just("*"), fields(HOURS), st.sampled_from(["2", "1", "0", "2,3", "1-2", "23"])),
    st.integers(-150, 150),
)
def test_times_around_a_clock_change_are_those_that_walking_from_minute_to_minute_finds(
    change: tuple[str, datetime], minutes: str, hours: str, start_minutes: int
) -> None:
    """In every zone: what is left out comes later, what is repeated fires once or twice as its rule says."""
    zone, changed = change
    start = changed + start_minutes * MINUTE
    end = start + timedelta(hours=6)
    text = f"0 {minutes} {hours} * * ?"

    walked = list(SlowCron(text, ZoneInfo(zone)).walk(start, end, MINUTE))

    assert walked == times_of(frequency_of(text, zone), start, end, 1000)


@settings(max_examples=25, deadline=None)
@given(fields(SECONDS), fields(MINUTES), st.integers(0, 86_399))
def test_seconds_are_those_that_walking_from_second_to_second_finds(seconds: str, minutes: str, start_s: int) -> None:
    """The first field, over the end of minutes and hours."""
    start = datetime(2026, 7, 1, tzinfo=UTC) + timedelta(seconds=start_s)
    end = start + timedelta(minutes=10)
    text = f"{seconds} {minutes} * * * ?"

    walked = list(islice(SlowCron(text).walk(start, end, timedelta(seconds=1)), 40))

    assert walked == times_of(frequency_of(text), start, end, 40)


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(fields(SECONDS), fields(MINUTES), fields(HOURS), DAYS, MONTH_FIELDS, WEEKDAY_FIELDS, YEARS),
    st.sampled_from(CHANGES),
    st.integers(-86_400, 86_400),
)
def test_times_only_go_forward_and_each_is_a_due_time(
    parts: tuple[str, ...], change: tuple[str, datetime], start_s: int
) -> None:
    """Each next time is later, belongs to the schedule, and is the one found from any second before it."""
    zone, changed = change
    frequency = frequency_of(" ".join(parts), zone)
    moment = changed + timedelta(seconds=start_s)

    for following in times_of(frequency, moment, moment + 400 * DAY, 10):
        assert following > moment
        assert following.microsecond == 0
        assert frequency.is_due_time(following, created=moment)
        assert following == frequency.next_after(moment + (following - moment) / 2, created=moment)
        moment = following


JUNK = st.text(st.sampled_from("0123456789*?,-/#LWlw :()+@ateMONrsdJGTUCZ\u0663\u00a0/"), max_size=24)
WRITTEN = st.one_of(
    JUNK,
    st.lists(JUNK.map(lambda text: text.replace(" ", "")), min_size=5, max_size=9).map(" ".join),
    JUNK.map(lambda text: f"rate({text})"),
    JUNK.map(lambda text: f"at(2027-01-01 09:00:00 {text})"),
    JUNK.map(lambda text: f"0 0 9 ? * {text}"),
    JUNK.map(lambda text: f"0 0 9 {text} * ?"),
)


@settings(max_examples=120, deadline=None)
@given(WRITTEN)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing that a caller writes ends in another error than a refusal, and what is read has a time to come."""
    now = datetime(2026, 7, 1, 12, tzinfo=UTC)
    with suppress(RequestError):
        assert parse_frequency(text, now=now).next_after(now - DAY, created=now) is not None
    with suppress(RequestError):
        parse_window(text)
