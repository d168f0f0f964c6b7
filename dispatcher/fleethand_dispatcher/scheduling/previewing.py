"""What a schedule will do, before it does it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timezone, tzinfo

from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.models import UpcomingRun
from fleethand_dispatcher.schedules.frequency import FrequencyKind, find_zone, parse_frequency
from fleethand_dispatcher.schedules.preview import preview
from fleethand_dispatcher.schedules.windows import parse_blackout
from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.scheduling.roster import Roster
from fleethand_dispatcher.store import Store

COUNT_MAX = 1000


def upcoming(
    store: Store,
    definition: Definition | None,
    frequency: str,
    count: int,
    *,
    blackout: Sequence[str],
    zones: Sequence[str],
    visible: Callable[[Sequence[str]], Sequence[str]],
    now: datetime,
    after: datetime,
) -> list[UpcomingRun]:
    """Return the next runs of a schedule, or of a frequency that could become one.

    Args:
        visible: leaves out the instances whose time zones may not be shown.

    Raises:
        RequestError: the frequency, a window or a zone cannot be read.
    """
    if not 1 <= count <= COUNT_MAX:
        raise refusal("InvalidParameter.Schedule", f"Cannot show {count} runs: it must be 1 to {COUNT_MAX}.")
    read = definition.frequency if definition else parse_frequency(frequency, now=now)
    created = definition.created if definition else now
    is_zoned = read.kind is FrequencyKind.CRON and read.zone is None
    roster = Roster(store, 0)
    members = store.invocations.targets(definition.id) if definition else roster.everyone()
    names = list(zones) or sorted(roster.zones(visible(members))) or ["UTC"]
    wanted = [find_zone(name) for name in names] if is_zoned else [UTC]
    windows = definition.blackout if definition else parse_blackout(blackout)
    found = preview(read, count=count, after=after, created=created, zones=wanted, blackout=windows)
    return [
        UpcomingRun(
            due_time=run.at,
            schedule_zone="" if is_zoned else read.zone_name or "UTC",
            time_zones=tuple(_name(zone) for zone in run.zones) if is_zoned else tuple(names),
            held_by=run.held_by.text if run.held_by else "",
        )
        for run in found
        if definition is None or _within(definition, run.at)
    ]


def _within(definition: Definition, at: datetime) -> bool:
    policy, at_ms = definition.policy, round(at.timestamp() * 1000)
    return (policy.start_at or 0) <= at_ms <= (policy.end_at or at_ms)


def _name(zone: tzinfo) -> str:
    if isinstance(zone, timezone):
        return str(zone)
    return str(getattr(zone, "key", zone))
