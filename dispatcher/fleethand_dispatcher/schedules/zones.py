"""The time zones that an expression can name (spec 6.3)."""

import difflib
import re
import zoneinfo
from datetime import UTC, timedelta, timezone, tzinfo
from functools import lru_cache

from fleethand_common.errors import RequestError
from fleethand_dispatcher.api_errors import refusal

_OFFSET = re.compile(r"GMT([+-])(0|[1-9][0-9]?):([0-9]{2})")
_HOURS = {"+": 14, "-": 12}
_MINUTES = 59
_UTC_NAMES = frozenset({"UTC", "GMT"})
_NOT_CIVIL = ("posix/", "right/")
"""Folders beside the names in some systems' database; those under `right/` count leap seconds."""
_FORMS = "Write a name of the tz database, such as Europe/Berlin, or UTC, or GMT+8:00."


def find_zone(name: str) -> tzinfo:
    """Return the zone called *name*: of the tz database, `UTC`, or `GMT±h:mm` from GMT-12:59 to GMT+14:59.

    Raises:
        RequestError: `TimezoneInformationCorrupt` or `InvalidGMTOffset…ForTimezone`, as spec 6.3 tells them apart.
    """
    if "/" in name:
        return _from_database(name)
    if name.upper() in _UTC_NAMES:
        return UTC
    if "+" in name or "-" in name:
        return _from_offset(name)
    raise refusal("TimezoneInformationCorrupt", f"Cannot use {name[:100]!r}. {_FORMS}")


def _from_database(name: str) -> tzinfo:
    if name.startswith(_NOT_CIVIL):
        raise _unknown(name)
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:  # no such file, a path outside, a folder
        raise _unknown(name) from error


def _unknown(name: str) -> RequestError:
    nearest = difflib.get_close_matches(name.lower(), _names(), n=1)
    hint = f"Did you mean {_names()[nearest[0]]}?" if nearest else _FORMS
    return refusal("TimezoneInformationCorrupt", f"Cannot find {name[:100]!r} in the tz database. {hint}")


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    return {name.lower(): name for name in sorted(zoneinfo.available_timezones()) if "/" in name}


def _from_offset(name: str) -> tzinfo:
    found = _OFFSET.fullmatch(name)
    if found is None:
        problem = f"Cannot use {name[:100]!r}. Write GMT+8:00 or GMT-3:30, with no zero before the hour."
        raise refusal("InvalidGMTOffsetForTimezone", problem)
    sign, hours, minutes = found[1], int(found[2]), int(found[3])
    if hours > _HOURS[sign]:
        problem = f"{name}: the hour {hours} is beyond GMT{sign}{_HOURS[sign]}."
        raise refusal("InvalidGMTOffsetHourForTimezone", problem)
    if minutes > _MINUTES:
        raise refusal("InvalidGMTOffsetMinuteForTimezone", f"{name}: the minute {minutes} is out of 00-{_MINUTES}.")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(offset if sign == "+" else -offset, name)
