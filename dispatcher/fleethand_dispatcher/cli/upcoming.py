"""Runs to come, each in three zones, as several commands print them."""

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

import click

from fleethand_common.errors import RequestError
from fleethand_dispatcher.cli import shapes, tables

if TYPE_CHECKING:
    from fleethand_dispatcher import Dispatcher
    from fleethand_dispatcher.models import UpcomingRun

_ZONES_SHOWN = 3
_RUNS_SHOWN = 3


def print_upcoming(found: "Sequence[UpcomingRun]", mine: tzinfo | None = None) -> None:
    """Print runs to come, each in the schedule's zone, in the hosts' and in the viewer's."""
    rows = []
    for run in found:
        own = _shown(run.due_time, zone_of(run.schedule_zone)) if run.schedule_zone else "each host's own"
        hosts = [_shown(run.due_time, zone_of(name)) for name in run.time_zones[:_ZONES_SHOWN]]
        more = len(run.time_zones) - _ZONES_SHOWN
        if more > 0:
            hosts.append(f"and {more} more zone{'s' if more > 1 else ''}")
        rows.append((own, "; ".join(hosts), _shown(run.due_time, mine), run.held_by and f"held: {run.held_by}"))
    tables.print_rows(("schedule's zone", "hosts' zones", "yours", "blackout"), rows)


def _shown(moment: datetime, zone: tzinfo | None) -> str:
    local = moment.astimezone(zone)
    return f"{local:%a %Y-%m-%d %H:%M:%S} {getattr(zone, 'key', None) or local.tzname()}"


def zone_of(name: str) -> tzinfo:
    """Return the zone called *name*.

    Raises:
        RequestError: there is none; the message names the nearest.
    """
    from fleethand_dispatcher.schedules.frequency import find_zone  # noqa: PLC0415

    return find_zone(name)


def next_runs(dispatcher: "Dispatcher", invoke_id: str) -> "Sequence[UpcomingRun]":
    """Return the next runs of a schedule; none for whoever may make or change it and may not see them."""
    try:
        return dispatcher.preview_schedule(invoke_id=invoke_id, count=_RUNS_SHOWN)
    except RequestError as error:
        if error.code != "Forbidden.RAM":
            raise
        return []


def print_scheduled(dispatcher: "Dispatcher", invoke_id: str, *, as_json: bool) -> None:
    """Print what a call made that begins a schedule: the id on stdout, and the next runs for whoever may see them."""
    upcoming = next_runs(dispatcher, invoke_id)
    if as_json:
        shapes.print_json({"invocation_id": invoke_id, "invocation_status": "Scheduled", "upcoming": upcoming})
        return
    click.echo(invoke_id)
    for line in _lines(upcoming):
        click.echo(line, err=True)


def _lines(upcoming: "Sequence[UpcomingRun]") -> Iterator[str]:
    for run in upcoming:
        zone = zone_of(run.schedule_zone) if run.schedule_zone else zone_of(run.time_zones[0])
        held = f", held back: {run.held_by}" if run.held_by else ""
        yield f"next: {_shown(run.due_time, zone)}{held}"
