"""`fleethand report`: reports of hosts that could not be used."""

from typing import TYPE_CHECKING

import click

from fleethand_dispatcher.cli import answers, options, shapes
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher.models import DeadReport

_BODY_CHARACTERS = 200


@click.group(cls=FleethandGroup)
def report() -> None:
    """Look at what hosts reported and nobody could read.

    \b
    Example:
      fleethand report dead
    """


@report.command("dead")
@click.option("--drop", is_flag=True, help="Forget them.")
@click.option("--max", "limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
@options.as_json
@pass_session
def dead(session: Session, /, *, drop: bool, limit: int, as_json: bool) -> None:
    """Print the reports that were set aside, each with its reason; they stop nothing.

    Of forged ones only samples are kept; how many there were of each kind is told at the end.

    \b
    Example:
      fleethand report dead --drop
    """
    with session.open() as dispatcher:
        found = dispatcher.dead_reports(max_results=limit)
        forged = [each for each in dispatcher.security_counts() if each.kind.startswith("report.forged:")]
        dropped = dispatcher.drop_dead_reports() if drop else None
    answers.print_list(found, ("at", "reason", "body"), _row, as_json=as_json)
    for each in forged:
        kind = each.kind.partition(":")[2]
        click.echo(f"{each.times} forged so far, {kind}; the last at {shapes.time_text(each.last_at)}", err=True)
    if dropped is not None:
        click.echo(f"{dropped} dropped", err=True)


def _row(row: "DeadReport") -> tuple[object, ...]:
    return shapes.time_text(row.at), row.reason, row.body[:_BODY_CHARACTERS]
