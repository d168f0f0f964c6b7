"""`fleethand doctor`: is everything there that a fleet needs, and if not, what to do."""

import click

from fleethand_common.errors import ServerUnavailableError
from fleethand_dispatcher.cli import exits, options, shapes, tables
from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session


@click.command(cls=FleethandCommand, short_help="Check that all is well, and say what to do if not.")
@options.as_json
@pass_session
@click.pass_context
def doctor(ctx: click.Context, session: Session, /, *, as_json: bool) -> None:
    """Check the server, the control plane and the hosts; ends with 1 if something must be mended.

    \b
    Example:
      fleethand doctor
    """
    from fleethand_dispatcher.cli import checks, vitals  # noqa: PLC0415

    settings, _ = session.settings()
    try:
        verdicts = checks.examine(vitals.look(settings), settings)
    except ServerUnavailableError as error:
        verdicts = [checks.Verdict("server", "fail", str(error), "start the server, or name another one")]
    failed = any(verdict.verdict == "fail" for verdict in verdicts)
    if as_json:
        shapes.print_json({"healthy": not failed, "checks": [verdict._asdict() for verdict in verdicts]})
    else:
        tables.print_rows(("check", "verdict", "found", "way out"), verdicts)
    ctx.exit(exits.ERROR if failed else exits.OK)
