"""`at(2027-01-01 09:00:00 Asia/Shanghai)`: one run, at a time (spec 6.2)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.schedules.zones import find_zone

_FORM = re.compile(
    r"at\s*\(\s*([0-9]{4}-[0-9]{2}-[0-9]{2})\s+([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\s+([^\s()]+))?\s*\)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class At:
    """One moment, with the zone it was written in."""

    moment_s: int
    zone: tzinfo
    zone_name: str


def parse_at(text: str) -> At:
    """Read `at(yyyy-MM-dd HH:mm:ss [zone])`; without a zone it is UTC.

    A time that the zone's clock leaves out counts as much later as the gap is long; of one that it shows twice, the
    first is meant.

    Raises:
        RequestError: `InvalidAtExpression`, or what `find_zone` raises.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        way_out = "Write at(yyyy-MM-dd HH:mm:ss zone): at(2027-01-01 09:00:00 Asia/Shanghai)."
        raise refusal("InvalidAtExpression", f"Cannot read {text[:100]!r}. {way_out}")
    zone_name = found[3] or "UTC"
    zone = find_zone(zone_name)
    try:
        wall = datetime.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
        moment = wall.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # there is no such day, or it is beyond year 1 or 9999 in UTC
        problem = f"There is no {found[1]} {found[2]} {zone_name}."
        way_out = "Write a day of the calendar and a time from 00:00:00 to 23:59:59."
        raise refusal("InvalidAtExpression", f"{problem} {way_out}") from error
    return At(int(moment.timestamp()), zone, zone_name)
