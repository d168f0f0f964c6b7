"""The times on a wall clock at which one translated cron expression fires, as croniter computes them."""

import calendar
import re
from datetime import UTC, datetime
from threading import Lock

from croniter import CroniterBadDateError, croniter

from fleethand_common import limits
from fleethand_dispatcher.schedules.local_time import DAY_S

_END_S = int(datetime(limits.CRON_YEAR_MAX + 1, 1, 1, tzinfo=UTC).timestamp())
_FRIDAY = 4
_NEAREST = re.compile(r" ([0-9]+)w ")


class Walls:
    """One expression, parsed once; croniter counts in seconds as if the wall clock's face were UTC's.

    Args:
        expression: seven fields in croniter's spelling, or with `lw` as the day of month, which croniter lacks.
    """

    def __init__(self, expression: str) -> None:
        self._is_last_weekday = " lw " in expression
        nearest = _NEAREST.search(expression)
        self._nearest_to = int(nearest[1]) if nearest else 1
        self._croniter = croniter(
            expression.replace(" lw ", " l "),
            0.0,
            ret_type=float,
            second_at_beginning=True,
            max_years_between_matches=limits.CRON_YEAR_MAX - limits.CRON_YEAR_MIN,
        )
        self._lock = Lock()  # croniter keeps in itself where it counts from

    def after(self, wall_s: int) -> int | None:
        """Return the first time after *wall_s*, `None` if there is none before the end of the last year."""
        if self._is_last_weekday:
            return self._last_weekday_after(wall_s)
        found = self._ask(wall_s)
        while found is not None and _days_of_month(found) < self._nearest_to:  # croniter takes 30 for 31W in June
            found = self._ask(_last_second_of_month(found))
        return found

    def _ask(self, wall_s: int) -> int | None:
        try:
            with self._lock:
                found = int(self._croniter.get_next(float, start_time=float(wall_s)))
        except CroniterBadDateError:
            return None
        return found if found < _END_S else None

    def _last_weekday_after(self, wall_s: int) -> int | None:
        """Move a last day that is on a weekend back to its Friday."""
        last_day = self._ask(wall_s)
        if last_day is None:
            return None
        back_s = _days_since_friday(last_day) * DAY_S
        if last_day - back_s > wall_s:
            return last_day - back_s
        later = self._ask(wall_s + back_s)
        return None if later is None else later - _days_since_friday(later) * DAY_S


def _days_since_friday(wall_s: int) -> int:
    """Return 1 on a Saturday, 2 on a Sunday, else 0."""
    return max(0, datetime.fromtimestamp(wall_s, UTC).weekday() - _FRIDAY)


def _days_of_month(wall_s: int) -> int:
    wall = datetime.fromtimestamp(wall_s, UTC)
    return calendar.monthrange(wall.year, wall.month)[1]


def _last_second_of_month(wall_s: int) -> int:
    wall = datetime.fromtimestamp(wall_s, UTC)
    return int(wall.replace(day=_days_of_month(wall_s), hour=23, minute=59, second=59).timestamp())
