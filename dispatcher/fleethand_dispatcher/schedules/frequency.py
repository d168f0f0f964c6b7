"""The API's `Frequency`: when a schedule fires, read from its text once and asked for its times ever after."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum

from fleethand_common import limits
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.schedules.at import At, parse_at
from fleethand_dispatcher.schedules.cron import Cron, parse_cron
from fleethand_dispatcher.schedules.rate import Rate, parse_rate
from fleethand_dispatcher.schedules.zones import find_zone

__all__ = ["Frequency", "FrequencyKind", "find_zone", "parse_frequency"]

_TEXT_CHARS = 1000
_NAMED = re.compile(r"(rate|at)\b", re.IGNORECASE)
_WESTERNMOST = timezone(timedelta(hours=-12))
_END_S = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


class FrequencyKind(StrEnum):
    """The three forms of an expression."""

    RATE = "rate"
    """At a fixed distance from the creation on, until stopped."""
    AT = "at"
    """Once."""
    CRON = "cron"
    """At the times of a wall clock that its fields allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frequency:
    """When a schedule fires. It is made by `parse_frequency` and keeps what was read, so that asking is cheap.

    Moments are aware datetimes in UTC, in whole seconds.
    """

    text: str
    """As the caller wrote it, without spaces around it."""
    kind: FrequencyKind
    zone: tzinfo | None
    """The zone that it names, for `at` UTC if none; `None` for a rate, and for a cron that each instance reads in its
    own zone."""
    zone_name: str
    """As it was written; empty where `zone` is `None`."""
    rule: Rate | At | Cron = field(repr=False, compare=False)

    def next_after(self, moment: datetime, *, created: datetime, zone: tzinfo | None = None) -> datetime | None:
        """Return the first time to fire that is later than *moment*, `None` when the schedule is over.

        Args:
            created: when the schedule was made, which is where a rate counts from.
            zone: the instance's own, for a cron that names none; a `ZoneInfo` or a `datetime.timezone`, else UTC.
        """
        moment_s = _seconds(moment)
        found: int | None
        match self.rule:
            case Rate():
                found = self.rule.moment_after(moment_s, created_s=_seconds(created))
            case At():
                found = self.rule.moment_s if self.rule.moment_s > moment_s else None
            case Cron():
                found = self.rule.moment_after(moment_s, zone=zone or UTC)
        return None if found is None or found > _END_S else datetime.fromtimestamp(found, UTC)

    def first_run(self, *, created: datetime, zone: tzinfo | None = None) -> datetime | None:
        """Return the first time to fire of a schedule made at *created*; an `at` of that very second still counts."""
        since = created - timedelta(seconds=1) if self.kind is FrequencyKind.AT else created
        return self.next_after(since, created=created, zone=zone)

    def gap_below(self, limit_s: int, *, since: datetime) -> int | None:
        """Return the shortest time between two runs, in seconds, if it is below *limit_s*; clock changes aside."""
        match self.rule:
            case Rate():
                return self.rule.interval_s if self.rule.interval_s < limit_s else None
            case At():
                return None
            case Cron():
                return self.rule.gap_below(limit_s, _seconds(since))

    def is_due_time(self, moment: datetime, *, created: datetime, zone: tzinfo | None = None) -> bool:
        """Tell whether the schedule fires at *moment*; a due time that it does not have is forged or out of date."""
        return moment == self.next_after(moment - timedelta(seconds=1), created=created, zone=zone)


def parse_frequency(
    text: str, *, now: datetime, created: datetime | None = None, timeout_s: int | None = None
) -> Frequency:
    """Read and check an expression.

    Args:
        created: when a schedule that is read again was made; given so, it may have ended since.
        timeout_s: how long a run may take; two runs must not be nearer to each other.

    Raises:
        RequestError: the code is the one that an instance would report (`BadCronExpression`); that of the API stands
            beside it in `API_ERRORS`. An expression that can be read and breaks a limit is `InvalidParam.Frequency`.
    """
    text = text.strip()
    if not text:
        raise refusal("MissingParam.Frequency", "Write rate(5m), at(2027-01-01 09:00:00) or a cron expression.")
    if len(text) > _TEXT_CHARS:
        raise refusal("InvalidParam.Frequency", f"It has {len(text)} characters; {_TEXT_CHARS} are allowed.")
    named = _NAMED.match(text)
    since_s = _seconds(created or now)
    match named[1].lower() if named else "":
        case "rate":
            return _rate(text, timeout_s)
        case "at":
            return _at(text, since_s)
    return _cron(text, since_s, timeout_s)


def _rate(text: str, timeout_s: int | None) -> Frequency:
    rule = parse_rate(text)
    if timeout_s is not None and rule.interval_s <= timeout_s:
        problem = f"{text}: the interval must be longer than the timeout of {timeout_s} s; change one of them."
        raise refusal("InvalidParam.Frequency", problem)
    return Frequency(text=text, kind=FrequencyKind.RATE, zone=None, zone_name="", rule=rule)


def _at(text: str, since_s: int) -> Frequency:
    rule = parse_at(text)
    if rule.moment_s < since_s:
        problem = f"{text} is {_shown(rule.moment_s)}, and it is {_shown(since_s)} now."
        raise refusal("AtExpressionExpired", f"{problem} Write a time to come, with its zone unless it is in UTC.")
    return Frequency(text=text, kind=FrequencyKind.AT, zone=rule.zone, zone_name=rule.zone_name, rule=rule)


def _cron(text: str, since_s: int, timeout_s: int | None) -> Frequency:
    rule = parse_cron(text)
    if rule.moment_after(since_s, zone=_WESTERNMOST) is None:  # where no zone is named, the last place to be over
        problem = f"{text} has no time after {_shown(since_s)}: look at day, month and year."
        raise refusal("CronExpressionExpired", problem)
    gap_s = rule.gap_below(max(limits.CRON_GAP_MIN_S, timeout_s or 0), since_s)
    if gap_s is not None and gap_s < limits.CRON_GAP_MIN_S:
        problem = f"{text}: two runs are {gap_s} s apart; at least {limits.CRON_GAP_MIN_S} s are required."
        raise refusal("InvalidParam.Frequency", problem)
    if gap_s is not None:
        problem = f"{text}: two runs are {gap_s} s apart, which is less than the timeout of {timeout_s} s"
        raise refusal("InvalidParam.Frequency", f"{problem}; change one of them.")
    return Frequency(text=text, kind=FrequencyKind.CRON, zone=rule.zone, zone_name=rule.zone_name, rule=rule)


def _seconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; pass an aware datetime")
    return int(moment.timestamp() // 1)


def _shown(moment_s: int) -> str:
    return f"{datetime.fromtimestamp(moment_s, UTC).replace(tzinfo=None)} UTC"
