"""Cron as a definition: a time is walked to, and each field is asked whether it allows it. Slow, and with no library.

It is written against the specification and shares nothing with the code that it is compared with.
"""

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
DAY = timedelta(days=1)


def allows(text: str, value: int, low: int, high: int, names: list[str]) -> bool:
    """Tell whether a field of plain items (`*`, lists, ranges, steps, names) allows *value*."""
    return any(item_allows(item, value, low, high, names) for item in text.split(","))


def item_allows(item: str, value: int, low: int, high: int, names: list[str]) -> bool:
    """Count from the item's first value to its last, over the end of the field if need be, and look at each step."""
    span, _, step = item.partition("/")
    first, _, last = span.partition("-")
    at = low if first == "*" else number(first, names)
    end = number(last, names) if last else (high if first == "*" or step else at)
    count = 0
    while True:
        if at == value and count % int(step or 1) == 0:
            return True
        if at == end:
            return False
        at = low if at == high else at + 1
        count += 1


def number(text: str, names: list[str]) -> int:
    """Return a number, or the place of a name."""
    return names.index(text.upper()) + 1 if text.upper() in names else int(text)


def day_of_month_allows(item: str, day: date) -> bool:
    """Tell whether one item of the day-of-month field allows *day*."""
    if item == "L":
        return (day + DAY).month != day.month
    if item == "LW":
        return day == max(other for other in month_of(day) if other.isoweekday() <= 5)
    if item.endswith("W"):
        return day == nearest_weekday(day, int(item[:-1]))
    return item_allows(item, day.day, 1, 31, [])


def nearest_weekday(day: date, wanted: int) -> date | None:
    """Return the day from Monday to Friday that is nearest to day *wanted* of the month and in it."""
    in_month = {other.day: other for other in month_of(day)}
    if wanted not in in_month:
        return None
    for distance in (0, -1, 1, -2, 2):
        other = in_month.get(wanted + distance)
        if other and other.isoweekday() <= 5:
            return other
    raise AssertionError("five days in a row have a weekday")


def day_of_week_allows(item: str, day: date) -> bool:
    """Tell whether one item of the day-of-week field allows *day*."""
    if item == "L":
        return day.isoweekday() == 7
    if item.endswith("L"):
        return day.isoweekday() == number(item[:-1], WEEKDAYS) and (day + 7 * DAY).month != day.month
    if "#" in item:
        weekday, nth = item.split("#")
        before = [other for other in month_of(day) if other.isoweekday() == day.isoweekday() and other < day]
        return day.isoweekday() == number(weekday, WEEKDAYS) and len(before) + 1 == int(nth)
    return item_allows(item, day.isoweekday(), 1, 7, WEEKDAYS)


def month_of(day: date) -> Iterator[date]:
    """Yield the days of the month of *day*."""
    for number_of_day in range(1, calendar.monthrange(day.year, day.month)[1] + 1):
        yield day.replace(day=number_of_day)


class SlowCron:
    """An expression without a zone, in the zone that is given."""

    def __init__(self, text: str, zone: tzinfo = UTC) -> None:
        fields = text.split()
        self.second, self.minute, self.hour, self.days, self.month, self.weekdays = fields[:6]
        self.year = fields[6] if len(fields) > 6 else "*"
        self.zone = zone

    def allows_day(self, day: date) -> bool:
        """Tell whether year, month and the two day fields allow *day*; if both day fields restrict, either may."""
        if not allows(self.month, day.month, 1, 12, MONTHS) or not allows(self.year, day.year, 1970, 2099, []):
            return False
        either = []
        if self.days not in {"*", "?"}:
            either.append(any(day_of_month_allows(item, day) for item in self.days.split(",")))
        if self.weekdays not in {"*", "?"}:
            either.append(any(day_of_week_allows(item, day) for item in self.weekdays.split(",")))
        return any(either) if either else True

    def allows_wall(self, wall: datetime) -> bool:
        """Tell whether the fields allow what a wall clock shows."""
        return (
            allows(self.second, wall.second, 0, 59, [])
            and allows(self.minute, wall.minute, 0, 59, [])
            and allows(self.hour, wall.hour, 0, 23, [])
            and self.allows_day(wall.date())
        )

    def is_rhythm(self) -> bool:
        """Tell whether the hour or the minute is a `*`, a step, or all there are."""
        return any(
            "*" in text or "/" in text or all(allows(text, value, 0, high, []) for value in range(high + 1))
            for text, high in ((self.minute, 59), (self.hour, 23))
        )

    def fires_at(self, moment: datetime) -> bool:
        """Tell whether it fires at *moment*, with what clock changes do to it."""
        local = moment.astimezone(self.zone)
        if self.allows_wall(local.replace(tzinfo=None)) and (local.fold == 0 or self.is_rhythm()):
            return True
        offsets = {(moment - timedelta(hours=hours)).astimezone(self.zone).utcoffset() for hours in range(1, 25)}
        for offset in offsets - {local.utcoffset(), None}:
            wall = (moment + offset).replace(tzinfo=None)
            meant = wall.replace(tzinfo=self.zone).astimezone(UTC)
            exists = meant.astimezone(self.zone).replace(tzinfo=None) == wall
            if not exists and meant == moment and self.allows_wall(wall):
                return True
        return False

    def walk(self, start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
        """Yield the moments after *start*, up to *end*, at which it fires."""
        moment = start + step
        while moment <= end:
            if self.fires_at(moment):
                yield moment
            moment += step
