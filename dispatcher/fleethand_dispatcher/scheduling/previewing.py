"""What a schedule will do, before it does it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timezone, tzinfo

from fleethand_common import clock
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.models import UpcomingRun
from fleethand_dispatcher.schedules.frequency import FrequencyKind, find_zone, parse_frequency
from fleethand_dispatcher.schedules.preview import Occurrence, preview
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
    theirs = [find_zone(name) for name in names]
    wanted = theirs if is_zoned else [read.zone or UTC]
    windows = definition.blackout if definition else parse_blackout(blackout)
    begin = _begin(definition, after)
    found: Iterable[Occurrence] = preview(
        read, count=count, after=begin, created=created, zones=wanted, blackout=windows
    )
    if definition:
        found = _until_the_end(definition, found, _runs_left(store, definition, wanted))
    return [
        UpcomingRun(
            due_time=run.at,
            schedule_zone="" if is_zoned else read.zone_name or "UTC",
            time_zones=tuple(_name(zone) for zone in run.zones) if is_zoned else tuple(names),
            held_by=run.held_by.text if run.held_by else "",
        )
        for run in found
    ]


def _begin(definition: Definition | None, after: datetime) -> datetime:
    """Return the moment after which a schedule can run."""
    start = definition.policy.start_at if definition else None
    return after if start is None else max(after, clock.to_datetime(start - 1))


def _runs_left(store: Store, definition: Definition, zones: Sequence[tzinfo]) -> dict[tzinfo, int] | None:
    """Return how many more runs a schedule has in each zone, None if there is no end to them."""
    most = definition.policy.max_runs
    if most is None:
        return None
    entries = [(definition.id, _name(zone) if definition.is_zoned else "") for zone in zones]
    return {zone: most - facts.fired for zone, facts in zip(zones, store.schedules.facts(entries), strict=True)}


def _until_the_end(
    definition: Definition, found: Iterable[Occurrence], left: dict[tzinfo, int] | None
) -> Iterator[Occurrence]:
    """Leave out what is after the end of a schedule, or after its last run in a zone; a run held back is none."""
    end = definition.policy.end_at
    for run in found:
        if end is not None and round(run.at.timestamp() * 1000) > end:
            return
        zones = run.zones if left is None else tuple(zone for zone in run.zones if left[zone] > 0)
        if left is not None and not run.held_by:
            left |= {zone: left[zone] - 1 for zone in zones}
        if zones:
            yield replace(run, zones=zones)


def _name(zone: tzinfo) -> str:
    if isinstance(zone, timezone):
        return str(zone)
    return str(getattr(zone, "key", zone))
