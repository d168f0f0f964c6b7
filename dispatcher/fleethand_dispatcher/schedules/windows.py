"""Blackout windows: when nothing fires. A window is two dates, or days of the week with times of day.

A window goes by the wall clock of its zone, so that one from 09:00 to 17:00 has these times in summer and winter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from fleethand_common.errors import RequestError
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.schedules.zones import find_zone

_FORMS = "Write 2026-12-24 18:00/2026-12-27 06:00 Europe/Berlin, MON-FRI 09:00-17:00 or FRI 22:00-MON 06:00."
_TIME = r"([0-9]{2}:[0-9]{2})"
_DATES = re.compile(rf"([0-9-]+)[ T]+{_TIME}\s*/\s*([0-9-]+)[ T]+{_TIME}(?:\s+(\S+))?")
_FROM_DAY_TO_DAY = re.compile(rf"([A-Z]+)\s+{_TIME}\s*-\s*([A-Z]+)\s+{_TIME}(?:\s+(\S+))?", re.IGNORECASE)
_ON_DAYS = re.compile(rf"([A-Z,-]+)\s+{_TIME}\s*-\s*{_TIME}(?:\s+(\S+))?", re.IGNORECASE)
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_TEXT_CHARS = 1000
_HOURS = 24
_MINUTES = 59
_HOUR_S = 3600
_DAY_S = 86_400
_WEEK_S = 7 * _DAY_S


@dataclass(frozen=True, slots=True)
class _Dates:
    """From one time on a wall clock until another."""

    start: datetime
    end: datetime

    def has(self, wall: datetime) -> bool:
        return self.start <= wall < self.end


@dataclass(frozen=True, slots=True)
class _Weekly:
    """Stretches of every week, in seconds since Monday 00:00; one that goes beyond Sunday goes on in the next week."""

    stretches: tuple[tuple[int, int], ...]

    def has(self, wall: datetime) -> bool:
        since_monday = wall.weekday() * _DAY_S + wall.hour * _HOUR_S + wall.minute * 60 + wall.second
        return any(start <= since_monday + lap < end for start, end in self.stretches for lap in (0, _WEEK_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time in which nothing fires: its start belongs to it, its end does not."""

    text: str
    zone: tzinfo | None
    """`None` if it names none: then it is each instance's own."""
    times: _Dates | _Weekly = field(repr=False, compare=False)

    def covers(self, moment: datetime, zone: tzinfo | None = None) -> bool:
        """Tell whether the wall clock shows a time of this window at *moment*.

        Args:
            moment: an aware datetime.
            zone: the instance's own, for a window that names none; else UTC.
        """
        return self.times.has(moment.astimezone(self.zone or zone or UTC).replace(tzinfo=None))


@dataclass(frozen=True, slots=True)
class Blackout:
    """A calendar of windows."""

    windows: tuple[Window, ...] = ()

    def first_covering(self, moment: datetime, zone: tzinfo | None = None) -> Window | None:
        """Return the first window, in the caller's order, that covers *moment*; `None` if a schedule may fire."""
        return next((window for window in self.windows if window.covers(moment, zone)), None)


def parse_blackout(texts: Sequence[str]) -> Blackout:
    """Read several windows; see `parse_window`."""
    return Blackout(tuple(parse_window(text) for text in texts))


def parse_window(text: str) -> Window:
    """Read a window: two dates, days with hours, or from a day to a day; then perhaps a zone, as in cron.

    Hours that end at or before their start end on the next day: `MON-FRI 22:00-06:00`.

    Raises:
        RequestError: `InvalidParameter.Blackout`, or what `find_zone` raises.
    """
    text = text.strip()
    if len(text) > _TEXT_CHARS:
        raise _wrong(text, f"it has {len(text)} characters; {_TEXT_CHARS} are allowed")
    times: _Dates | _Weekly
    if found := _DATES.fullmatch(text):
        times = _dates(text, found)
    elif found := _FROM_DAY_TO_DAY.fullmatch(text):
        times = _from_day_to_day(text, found)
    elif found := _ON_DAYS.fullmatch(text):
        times = _on_days(text, found)
    else:
        raise refusal("InvalidParameter.Blackout", f"Cannot read {text[:100]!r}. {_FORMS}")
    zone_name = found[found.re.groups]
    return Window(text=text, zone=find_zone(zone_name) if zone_name else None, times=times)


def _dates(text: str, found: re.Match[str]) -> _Dates:
    try:
        start, end = (datetime.fromisoformat(f"{found[group]} {found[group + 1]}") for group in (1, 3))
    except ValueError as error:
        raise _wrong(text, f"{error}; a time is yyyy-MM-dd HH:mm") from error
    if end <= start:
        raise _wrong(text, "it ends before it starts")
    return _Dates(start, end)


def _from_day_to_day(text: str, found: re.Match[str]) -> _Weekly:
    start = _weekday(text, found[1]) * _DAY_S + _time_s(text, found[2])
    end = _weekday(text, found[3]) * _DAY_S + _time_s(text, found[4])
    if start % _WEEK_S == end % _WEEK_S:
        raise _wrong(text, "it ends where it starts; a whole week is MON-SUN 00:00-24:00")
    return _Weekly(((start, end if end > start else end + _WEEK_S),))


def _on_days(text: str, found: re.Match[str]) -> _Weekly:
    start, end = _time_s(text, found[2]), _time_s(text, found[3])
    if start in {end, _DAY_S}:
        raise _wrong(text, "it ends where it starts; a whole day is 00:00-24:00")
    length = (end - start) % _DAY_S or _DAY_S
    days = sorted({day for item in found[1].split(",") for day in _days(text, item)})
    return _Weekly(tuple((day * _DAY_S + start, day * _DAY_S + start + length) for day in days))


def _days(text: str, item: str) -> list[int]:
    first_name, dash, last_name = item.partition("-")
    first = _weekday(text, first_name)
    last = _weekday(text, last_name) if dash else first
    return [(first + count) % len(_WEEKDAYS) for count in range((last - first) % len(_WEEKDAYS) + 1)]


def _weekday(text: str, name: str) -> int:
    if name.upper() not in _WEEKDAYS:
        raise _wrong(text, f"{name[:50]!r} is no day of the week; write one of {', '.join(_WEEKDAYS)}")
    return _WEEKDAYS.index(name.upper())


def _time_s(text: str, time: str) -> int:
    hour, minute = int(time[:2]), int(time[3:])
    if minute > _MINUTES or hour * 60 + minute > _HOURS * 60:
        raise _wrong(text, f"{time} is out of 00:00-24:00")
    return hour * _HOUR_S + minute * 60


def _wrong(text: str, problem: str) -> RequestError:
    return refusal("InvalidParameter.Blackout", f"{text[:100]}: {problem}.")
