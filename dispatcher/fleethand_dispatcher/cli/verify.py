"""`fleethand invocation verify`: are the records of an invocation those that the control plane wrote?"""

import click

from fleethand_dispatcher.cli import exits, options, shapes, tables
from fleethand_dispatcher.cli.options import invocation_id
from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session


@click.command("verify", cls=FleethandCommand, short_help="Check that nobody changed its records.")
@invocation_id
@options.as_json
@pass_session
@click.pass_context
def verify(ctx: click.Context, session: Session, /, *, ident: str, as_json: bool) -> None:
    """Check every row, counter and output of an invocation; ends with 1 if somebody changed anything in Redis.

    \b
    Example:
      fleethand invocation verify last
    """
    with session.open() as dispatcher:
        found = dispatcher.verify_invocation(dispatcher.resolve_invocation(ident))
    if as_json:
        shapes.print_json({**shapes.plain(found), "authentic": found.authentic})
    elif found.findings:
        tables.print_rows(("instance", "finding"), [(each.instance_id, each.what) for each in found.findings])
    verdict = "all as it was recorded" if found.authentic else f"{len(found.findings)} findings: do not trust it"
    click.echo(f"{found.invoke_id}: {found.instance_count} instances, {verdict}", err=True)
    ctx.exit(exits.OK if found.authentic else exits.ERROR)
