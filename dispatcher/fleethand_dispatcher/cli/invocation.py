"""`fleethand invocation`: list, show, follow, stop, retry and verify what was run."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher.cli import answers, exits, options, shapes, tables
from fleethand_dispatcher.cli.lookup import command_id_of, pages
from fleethand_dispatcher.cli.options import StatusList, invocation_id
from fleethand_dispatcher.cli.run import print_sent
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session
from fleethand_dispatcher.cli.stopping import instances_option, stop_and_print
from fleethand_dispatcher.cli.tally import altered, counted, reason, summary, title
from fleethand_dispatcher.cli.verify import verify
from fleethand_dispatcher.cli.watch import View, Watch

if TYPE_CHECKING:
    from fleethand_dispatcher import Invocation
    from fleethand_dispatcher.models import InvocationRecord, InvocationResult

_TROUBLES_SHOWN = 20


@click.group(cls=FleethandGroup)
def invocation() -> None:
    """List, show, follow, stop, retry and verify invocations.

    An ID is an invocation's id, the unique beginning of one, or `last`.

    \b
    Example:
      fleethand invocation list
      fleethand invocation follow last
    """


@invocation.command("list")
@click.option("--status", type=StatusList(InvocationStatus), metavar="S", help="Only those in this status.")
@click.option("--command", "command", metavar="COMMAND", help="Only of this command (id or name).")
@click.option("--instance", "instance_id", metavar="ID", help="Only those that target this host.")
@click.option("--max", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@options.as_json
@pass_session
def list_(
    session: Session, /, *, status: tuple[str, ...], command: str, instance_id: str, limit: int, as_json: bool
) -> None:
    """List invocations, newest first.

    \b
    Example:
      fleethand invocation list --status Running,Pending
    """
    with session.open() as dispatcher:
        filters: dict[str, Any] = {"instance_id": instance_id}
        if command:
            filters["command_id"] = command_id_of(dispatcher, command)
        found: list[InvocationRecord] = []
        for wanted in status or (None,):
            found += pages(dispatcher.describe_invocations, limit, **filters, invocation_status=wanted)
    found = sorted(found, key=lambda record: record.creation_time, reverse=True)[:limit]
    answers.print_list(found, ("invocation", "status", "created", "counts", "command"), _row, as_json=as_json)


def _row(record: "InvocationRecord") -> tuple[object, ...]:
    created = shapes.time_text(record.creation_time)
    counts = ", ".join(counted(record.counts))
    return record.invoke_id, record.invocation_status, created, counts, title(record)


@invocation.command("show")
@invocation_id
@options.as_json
@pass_session
def show(session: Session, /, *, ident: str, as_json: bool) -> None:
    """Show what was asked for and where it stands.

    \b
    Example:
      fleethand invocation show last
    """
    with session.open() as dispatcher:
        found = dispatcher.invocation(dispatcher.resolve_invocation(ident))
        record = found.record()
        if as_json:
            shapes.print_json({**shapes.plain(record), **shapes.invocation_object(record, found.results())})
            return
        fields = shapes.plain(record)
        fields["counts"] = ", ".join(counted(record.counts))
        fields["parameters"] = " ".join(f"{key}={value}" for key, value in record.parameters.items())
        tables.print_fields(fields.items())
        _print_troubles(found.results())


def _print_troubles(results: "Iterable[InvocationResult]") -> None:
    rows, lies = [], []
    for result in results:
        if result.invocation_status is not InstanceStatus.SUCCESS or not result.authentic:
            rows.append((result.instance_id, reason(result)))
        if not result.authentic:
            lies.append(result)
    if lies:
        click.echo(altered(lies[0].invoke_id, [result.instance_id for result in lies]), err=True)
    if rows:
        click.echo()
        tables.print_rows(("instance", "status"), rows[:_TROUBLES_SHOWN])
    if len(rows) > _TROUBLES_SHOWN:
        click.echo(f"… and {len(rows) - _TROUBLES_SHOWN} more; see 'fleethand results'", err=True)


@invocation.command("follow", epilog=exits.HELP)
@invocation_id
@options.output_options
@pass_session
@click.pass_context
def follow(ctx: click.Context, session: Session, /, *, ident: str, **given: Any) -> None:
    """Show an invocation from its beginning until it has finished, as `run` does.

    With --json each event is one line of JSON.

    \b
    Example:
      fleethand invocation follow last
    """
    with session.open() as dispatcher:
        found = dispatcher.invocation(dispatcher.resolve_invocation(ident))
        ctx.exit(Watch(dispatcher, found, View.of(given, events=True)).run())


@invocation.command("stop")
@invocation_id
@instances_option
@click.option("--wait", is_flag=True, help="Wait until every host has confirmed; ends with `run`'s exit codes.")
@options.as_json
@pass_session
@click.pass_context
def stop(
    ctx: click.Context, session: Session, /, *, ident: str, instances: tuple[str, ...], wait: bool, as_json: bool
) -> None:
    """Stop an invocation, or some hosts of it; prints what became of the request on each host.

    \b
    Example:
      fleethand invocation stop last
      fleethand invocation stop t-4f1 --instance web-3
    """
    with session.open() as dispatcher:
        ident = dispatcher.resolve_invocation(ident)
        stop_and_print(dispatcher, ident, instances, as_json=as_json)
        if wait:
            record = dispatcher.invocation(ident).wait()
            click.echo(summary(record), err=True)
            ctx.exit(exits.exit_code(record.counts))


@invocation.command("retry", epilog=exits.HELP)
@invocation_id
@click.option("--only", type=StatusList(InstanceStatus), metavar="S,S", help="Only hosts that ended in one of these.")
@click.option("--detach", "-d", is_flag=True, help="Print the new invocation's id and do not wait.")
@options.output_options
@pass_session
@click.pass_context
def retry(ctx: click.Context, session: Session, /, *, ident: str, only: tuple[str, ...], **given: Any) -> None:
    """Run an invocation again on the hosts that did not succeed, as a new invocation.

    \b
    Example:
      fleethand invocation retry last
      fleethand invocation retry t-4f1 --only failed,aborted,timeout
    """
    with session.open() as dispatcher:
        old = dispatcher.invocation(dispatcher.resolve_invocation(ident))
        new: Invocation = old.retry(only=only) if only else old.retry()
        if given["detach"]:
            ctx.exit(print_sent(new, as_json=given["as_json"]))
        ctx.exit(Watch(dispatcher, new, View.of(given)).run())


invocation.add_command(verify)
