"""Cron as the API writes it: six to eight fields, seconds first, then perhaps a year and a time zone (spec 6.3).

croniter does the arithmetic, on a wall clock without a zone; `local_time` turns its answers into moments.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import pairwise

from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.schedules.cron_fields import (
    DAYS,
    HOURS,
    KINDS,
    MINUTES,
    SECONDS,
    WEEKDAYS,
    Field,
    FieldKind,
    Token,
)
from fleethand_dispatcher.schedules.local_time import DAY_S, first_moment_after
from fleethand_dispatcher.schedules.walls import Walls
from fleethand_dispatcher.schedules.zones import find_zone

_FORM = (
    "Write 6 to 8 fields: second minute hour day-of-month month day-of-week [year] [time zone];"
    " or rate(5m), or at(2027-01-01 09:00:00)."
)
_FIELDS = len(KINDS) - 1  # all but the year
_CRONTAB_FIELDS = 5
_YEAR = re.compile(r"[*?0-9][-*?0-9,/]*")
"""The agent looks for a year anywhere in the field, and so takes a zone with a year in its name for one."""
_ALIASES = {
    "@yearly": "0 0 0 1 1 ?",
    "@annually": "0 0 0 1 1 ?",
    "@monthly": "0 0 0 1 * ?",
    "@weekly": "0 0 0 ? * SUN",
    "@daily": "0 0 0 * * ?",
    "@midnight": "0 0 0 * * ?",
    "@hourly": "0 0 * * * ?",
}
_DAYS_LOOKED_AT = 400
"""On which it fires: more than a year of most, as 28 February and 1 March follow one another in some years only."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression, read and translated."""

    zone: tzinfo | None
    zone_name: str
    fields: tuple[Field, ...]
    walls: tuple[Walls, ...]
    """What croniter is asked for; the schedule fires at the times of each."""

    @property
    def is_rhythm(self) -> bool:
        """Whether it means every so many minutes or hours, and not times of day."""
        return any(self.fields[KINDS.index(kind)].is_rhythm for kind in (MINUTES, HOURS))

    def moment_after(self, moment_s: int, *, zone: tzinfo) -> int | None:
        """Return the first moment after *moment_s*, `None` if there is none; *zone* counts if the text names none."""
        return first_moment_after(moment_s, self.zone or zone, self.wall_after, repeats=self.is_rhythm)

    def wall_after(self, wall_s: int) -> int | None:
        """Return the first time of the wall clock after *wall_s*, as if its face were UTC's."""
        found = [wall for walls in self.walls if (wall := walls.after(wall_s)) is not None]
        return min(found, default=None)

    def gap_below(self, limit_s: int, wall_s: int) -> int | None:
        """Return the shortest time between two runs if it is below *limit_s*; over midnight, as from *wall_s* on."""
        seconds, minutes, hours = (self._numbers(kind) for kind in (SECONDS, MINUTES, HOURS))
        within_minute = seconds[-1] - seconds[0]
        within_hour = (minutes[-1] - minutes[0]) * 60 + within_minute
        within_day = (hours[-1] - hours[0]) * 3600 + within_hour
        gaps = [
            *_steps(seconds),
            *(step * 60 - within_minute for step in _steps(minutes)),
            *(step * 3600 - within_hour for step in _steps(hours)),
        ]
        over_midnight = DAY_S - within_day
        if over_midnight < limit_s and self._fires_on_consecutive_days(wall_s):
            gaps.append(over_midnight)
        return min((gap for gap in gaps if gap < limit_s), default=None)

    def _numbers(self, kind: FieldKind) -> list[int]:
        return sorted(self.fields[KINDS.index(kind)].values or range(kind.low, kind.high + 1))

    def _fires_on_consecutive_days(self, wall_s: int) -> bool:
        found = self.wall_after(wall_s)
        for _ in range(_DAYS_LOOKED_AT):
            if found is None:
                return False
            midnight = (found // DAY_S + 1) * DAY_S
            found = self.wall_after(midnight - 1)
            if found is not None and found < midnight + DAY_S:
                return True
        return False


def _steps(values: Sequence[int]) -> Iterator[int]:
    return (following - value for value, following in pairwise(values))


def parse_cron(text: str) -> Cron:
    """Read a cron expression.

    Raises:
        RequestError: `BadCronExpression`, whose message points at the field, or what `find_zone` raises.
    """
    tokens = [Token(found[0], found.start() + 1) for found in re.finditer(r"\S+", text)]
    tokens, zone_name = _part_zone(text, tokens)
    fields = tuple(kind.parse(token) for kind, token in zip(KINDS, tokens, strict=False))
    if len(fields) == _FIELDS:
        fields += (Field(None),)
    if {tokens[KINDS.index(kind)].text for kind in (DAYS, WEEKDAYS)} == {"?"}:
        raise refusal("BadCronExpression", "Day of month and day of week are both ?: write * in one of them.")
    zone = find_zone(zone_name) if zone_name else None
    return Cron(zone, zone_name, fields, tuple(Walls(expression) for expression in _translated(fields)))


def _part_zone(text: str, tokens: list[Token]) -> tuple[list[Token], str]:
    """Part the fields from the time zone; the seventh field is either a year or the zone."""
    count = len(tokens)
    if text.startswith("@"):
        instead = f"Write {_ALIASES[text.lower()]}." if text.lower() in _ALIASES else _FORM
        raise refusal("BadCronExpression", f"Cannot use the short form {text!r}. {instead}")
    if count == _CRONTAB_FIELDS:
        *others, weekday = (token.text for token in tokens)
        instead = " ".join(("0", *others, "7" if weekday == "0" else weekday))
        problem = f"5 fields were found, as in a crontab; seconds come first here, and Sunday is 7: write {instead}."
        raise refusal("BadCronExpression", problem)
    if not _FIELDS <= count <= len(KINDS) + 1:
        raise refusal("BadCronExpression", f"{count} {'field was' if count == 1 else 'fields were'} found. {_FORM}")
    if count == _FIELDS or (count == len(KINDS) and _YEAR.fullmatch(tokens[-1].text)):
        return tokens, ""
    return tokens[:-1], tokens[-1].text


def _translated(fields: tuple[Field, ...]) -> Iterator[str]:
    """Yield expressions for croniter that together mean *fields*.

    Each restricts one of the two day fields at most: if both are restricted, either may match, and croniter's own way
    to say so fails for some specials. No name, range or step is left in them, as croniter reads some otherwise.
    """
    second, minute, hour, days, month, weekdays, year = fields
    either = [(day, "*") for day in _spellings(days)] + [("*", weekday) for weekday in _spellings(weekdays)]
    for day, weekday in either or [("*", "*")]:
        yield " ".join((_listed(second), _listed(minute), _listed(hour), day, _listed(month), weekday, _listed(year)))


def _spellings(field: Field) -> list[str]:
    """Return the ways in which a day field can match; none if it is not restricted."""
    return [*([_listed(field)] if field.values else []), *field.specials]


def _listed(field: Field) -> str:
    return "*" if field.values is None else ",".join(str(value) for value in sorted(field.values))
