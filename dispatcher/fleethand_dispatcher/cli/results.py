"""`fleethand results` and `fleethand explain`: what the hosts of an invocation said and did."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.cli import options, shapes
from fleethand_dispatcher.cli.lines import LinePrinter
from fleethand_dispatcher.cli.options import StatusList, invocation_id
from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session
from fleethand_dispatcher.cli.tally import Tally, reason, summary
from fleethand_dispatcher.cli.watch import print_tally

if TYPE_CHECKING:
    from fleethand_dispatcher.models import InvocationResult


@click.command(cls=FleethandCommand, short_help="Print what the hosts said.")
@invocation_id
@click.option("--status", type=StatusList(InstanceStatus), metavar="S,S", help="Only hosts in one of these.")
@click.option("--instance", "-i", "instances", multiple=True, metavar="ID", help="Only this host; repeat.")
@click.option("--fold", is_flag=True, help="Print equal outputs once.")
@click.option("--no-prefix", is_flag=True, help="Print lines without the host's name before them.")
@options.as_json
@pass_session
def results(
    session: Session,
    /,
    *,
    ident: str,
    status: tuple[str, ...],
    instances: tuple[str, ...],
    fold: bool,
    no_prefix: bool,
    as_json: bool,
) -> None:
    """Print what the hosts of an invocation said, and why some of them did not succeed.

    \b
    Example:
      fleethand results last --status Failed,Timeout
    """
    with session.open() as dispatcher:
        found = dispatcher.invocation(dispatcher.resolve_invocation(ident))
        record = found.record()
        rows = (
            row
            for row in dispatcher.iter_results(found.invoke_id, statuses=status or None)
            if not instances or row.instance_id in instances
        )
        if as_json:
            shapes.print_json(shapes.invocation_object(record, rows))
            return
        _print_outputs(rows, fold=fold, prefix=not no_prefix)
        click.echo(summary(record), err=True)


def _print_outputs(rows: "Iterable[InvocationResult]", *, fold: bool, prefix: bool) -> None:
    tally = Tally()
    printer = LinePrinter(prefix=prefix)
    for row in rows:
        tally.add(row)
        if not fold:
            printer.feed(row.instance_id, row.output)
            printer.finish(row.instance_id)
    print_tally(tally, "fold" if fold else "lines")


@click.command(cls=FleethandCommand, short_help="Tell the story of one host in an invocation.")
@invocation_id
@click.argument("instance", metavar="INSTANCE")
@options.as_json
@pass_session
def explain(session: Session, /, *, ident: str, instance: str, as_json: bool) -> None:
    """Tell the story of one host in an invocation: each step with its time and its reason.

    \b
    Example:
      fleethand explain last web-1
    """
    with session.open() as dispatcher:
        story = dispatcher.explain(dispatcher.resolve_invocation(ident), instance)
    if as_json:
        shapes.print_json({"result": shapes.instance_object(story.result), "steps": list(story.steps)})
        return
    click.echo(f"{story.result.invoke_id} on {instance}: {reason(story.result)}")
    began = story.steps[0].at if story.steps else None
    for step in story.steps:
        after_s = (step.at - began).total_seconds() if began else 0.0
        click.echo(f"  {shapes.time_text(step.at)}  +{after_s:9.3f} s  {step.what:<12} {step.detail}".rstrip())
