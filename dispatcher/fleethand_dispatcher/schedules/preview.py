"""What a schedule will do: its next runs, and which of them a blackout window holds back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from fleethand_dispatcher.schedules.frequency import Frequency
from fleethand_dispatcher.schedules.windows import Blackout, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One run to come."""

    at: datetime
    """In UTC."""
    zones: tuple[tzinfo, ...]
    """The instances' zones for which it is due: all of them, unless each reads the expression in its own."""
    held_by: Window | None
    """The window that holds it back in these zones; `None` if it fires."""


def preview(
    frequency: Frequency,
    *,
    count: int,
    after: datetime,
    created: datetime,
    zones: Sequence[tzinfo] = (UTC,),
    blackout: Blackout | None = None,
) -> list[Occurrence]:
    """Return what happens at the next *count* times after *after* at which any of *zones* is due, in order.

    A time has several occurrences where a window without a zone holds it back for some instances and not for others.

    Args:
        created: when the schedule was made, which is where a rate counts from.
        zones: of the instances, each once; UTC if there are none.
    """
    found: list[Occurrence] = []
    due = {zone: frequency.next_after(after, created=created, zone=zone) for zone in zones or (UTC,)}
    for _ in range(count):
        at = min((moment for moment in due.values() if moment), default=None)
        if at is None:
            break
        due_zones = [zone for zone, moment in due.items() if moment == at]
        found += _occurrences(at, due_zones, blackout or Blackout())
        due |= {zone: frequency.next_after(at, created=created, zone=zone) for zone in due_zones}
    return found


def _occurrences(at: datetime, zones: Sequence[tzinfo], blackout: Blackout) -> list[Occurrence]:
    held: dict[Window | None, list[tzinfo]] = {}
    for zone in zones:
        held.setdefault(blackout.first_covering(at, zone), []).append(zone)
    return [Occurrence(at=at, zones=tuple(of), held_by=window) for window, of in held.items()]
