"""`fleethand aggregator`: the process that turns hosts' reports into records and judges deadlines."""

import logging

import click

from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session


@click.command(cls=FleethandCommand, short_help="Read the hosts' reports and keep the records.")
@pass_session
def aggregator(session: Session, /) -> None:
    """Read the hosts' reports and keep the records; runs until it is told to end. Start as many as you like.

    \b
    Example:
      fleethand aggregator --redis-url redis://10.0.0.5:6379/0
    """
    from fleethand_dispatcher.aggregator import main  # noqa: PLC0415

    settings, _ = session.settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    main(settings)
