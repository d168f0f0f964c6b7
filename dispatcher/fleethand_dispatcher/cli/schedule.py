"""`fleethand schedule`: what runs again and again, when next, and what became of the times that passed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from fleethand_dispatcher.cli import answers, options, shapes, tables
from fleethand_dispatcher.cli.lookup import pages
from fleethand_dispatcher.cli.options import invocation_id
from fleethand_dispatcher.cli.schedule_modify import modify
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session
from fleethand_dispatcher.cli.stopping import instances_option, stop_and_print
from fleethand_dispatcher.cli.tally import counted, title
from fleethand_dispatcher.cli.timing import frequency_of, frequency_options
from fleethand_dispatcher.cli.upcoming import next_runs, print_upcoming, zone_of

if TYPE_CHECKING:
    from fleethand_dispatcher.models import Schedule, ScheduledRun

_LATE_S = 10
"""A beat that works is never as late."""


@click.group(cls=FleethandGroup)
def schedule() -> None:
    """List, show, preview, modify, pause, resume and stop schedules.

    `run` and `invoke` make them with --rate, --at or --cron.
    An ID is a schedule's id, the unique beginning of one, or `last`.

    \b
    Example:
      fleethand schedule list
      fleethand schedule preview --cron '0 30 9 ? * MON-FRI Europe/Berlin'
    """


@schedule.command("list")
@options.as_json
@pass_session
def list_(session: Session, /, *, as_json: bool) -> None:
    """List the schedules that live, each with its next run and what became of its last one.

    \b
    Example:
      fleethand schedule list
    """
    with session.open() as dispatcher:
        found = list(pages(dispatcher.describe_schedules))
    if not as_json:
        _tell_if_late(found)
    header = ("schedule", "status", "frequency", "next", "runs", "last", "command")
    answers.print_list(found, header, _row, as_json=as_json)


def _tell_if_late(found: "Sequence[Schedule]") -> None:
    late = [item for item in found if item.late_s > _LATE_S]
    if late:
        who = late[0].invoke_id if len(late) == 1 else f"{len(late)} schedules"
        since = f"should have fired {max(item.late_s for item in late)} s ago"
        why = "no beat works, or the fleet is frozen; see 'fleethand doctor' and 'fleethand freeze --status'"
        click.echo(f"{who} {since}: {why}.", err=True)


def _row(item: "Schedule") -> tuple[object, ...]:
    status = "paused" if item.paused_time else item.invocation_status
    if not item.authentic:
        status = "altered"
    last = item.last_run.outcome if item.last_run else ""
    return item.invoke_id, status, item.frequency, shapes.time_text(item.next_time), item.runs, last, title(item)


@schedule.command("show")
@invocation_id
@click.option("--runs", type=click.IntRange(1), default=10, show_default=True, help="How many runs, newest first.")
@options.as_json
@pass_session
def show(session: Session, /, *, ident: str, runs: int, as_json: bool) -> None:
    """Show a schedule and what became of the latest times at which it was due, with the reason of each.

    \b
    Example:
      fleethand schedule show last --runs 50
    """
    with session.open() as dispatcher:
        ident = dispatcher.resolve_invocation(ident)
        rows = dispatcher.describe_schedule_runs(ident, max_results=runs)
        known = dispatcher.describe_schedules(invoke_id=ident).items
        record = known[0] if known else dispatcher.describe_invocation(ident)
    fields = shapes.plain(record)
    if as_json:
        shapes.print_json({**fields, "latest_runs": rows})
        return
    _tell_if_late(known)
    fields["counts"] = ", ".join(counted(record.counts))
    fields["tags"] = ", ".join(f"{key}={value}" for key, value in fields.get("tags", {}).items())
    if fields.pop("authentic", True) is False:
        click.echo("Its definition was altered in Redis: it does not fire. Stop it and make it again.", err=True)
    tables.print_fields((name, value) for name, value in fields.items() if name != "last_run" and value is not False)
    if rows:
        click.echo()
        tables.print_rows(("due", "outcome", "hosts", "run", "reason"), [_run_row(row) for row in rows])


def _run_row(row: "ScheduledRun") -> tuple[object, ...]:
    due = f"{shapes.time_text(row.due_time)}{f' for {row.time_zone}' if row.time_zone else ''}"
    skipped = f"{row.skipped_count} skipped" if row.skipped_count else ""
    hosts = ", ".join(filter(None, [*counted(row.counts), skipped]))
    return due, row.outcome, hosts, row.run_id if row.instance_count else "", row.reason


@schedule.command("preview")
@click.argument("ident", metavar="[ID]", required=False)
@frequency_options
@click.option("--blackout", multiple=True, metavar="WINDOW", help="No run in it, as with 'run'; repeat.")
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many runs.")
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="A zone of the hosts; else those they report.")
@click.option("--my-zone", metavar="ZONE", help="Your own time zone, if it is not this machine's.")
@options.as_json
@pass_session
def preview(session: Session, /, *, ident: str | None, count: int, as_json: bool, **given: Any) -> None:
    """Show the next runs of a schedule, or of one that could be: in its zone, in the hosts' and in yours.

    \b
    Example:
      fleethand schedule preview last
      fleethand schedule preview --cron '0 0 9 ? * MON' --zone Asia/Shanghai --count 3
    """
    frequency = frequency_of(given)
    if bool(frequency) == bool(ident):
        raise click.UsageError("give the ID of a schedule, or one of --rate, --at and --cron.")
    if ident and given["blackout"]:
        raise click.UsageError("--blackout is for --rate, --at and --cron; a schedule has its own windows.")
    mine = zone_of(given["my_zone"]) if given["my_zone"] else None
    with session.open() as dispatcher:
        ident = dispatcher.resolve_invocation(ident) if ident else None
        known = dispatcher.describe_schedules(invoke_id=ident).items if ident else []
        found = dispatcher.preview_schedule(
            frequency,
            count,
            invoke_id=ident,
            blackout=given["blackout"],
            time_zones=given["zones"],
        )
    if as_json:
        shapes.print_json(found)
        return
    if known and known[0].paused_time:
        click.echo(f"Paused: nothing fires until 'fleethand schedule resume {ident}'.", err=True)
    print_upcoming(found, mine)


@schedule.command("pause")
@invocation_id
@pass_session
def pause(session: Session, /, *, ident: str) -> None:
    """Let a schedule fire nothing until it is resumed; each time that passes is listed as paused.

    \b
    Example:
      fleethand schedule pause last
    """
    with session.open() as dispatcher:
        ident = dispatcher.resolve_invocation(ident)
        dispatcher.pause_schedule(ident)
    click.echo(f"{ident} is paused; it goes on with 'fleethand schedule resume {ident}'.", err=True)


@schedule.command("resume")
@invocation_id
@pass_session
def resume(session: Session, /, *, ident: str) -> None:
    """Let a paused schedule go on, and print its next runs.

    \b
    Example:
      fleethand schedule resume last
    """
    with session.open() as dispatcher:
        ident = dispatcher.resolve_invocation(ident)
        dispatcher.resume_schedule(ident)
        print_upcoming(next_runs(dispatcher, ident))


@schedule.command("stop")
@invocation_id
@instances_option
@options.as_json
@pass_session
def stop(session: Session, /, *, ident: str, instances: tuple[str, ...], as_json: bool) -> None:
    """Stop a schedule and what of it runs now; prints what became of the request on each host.

    \b
    Example:
      fleethand schedule stop last
    """
    with session.open() as dispatcher:
        stop_and_print(dispatcher, dispatcher.resolve_invocation(ident), instances, as_json=as_json)


schedule.add_command(modify)
