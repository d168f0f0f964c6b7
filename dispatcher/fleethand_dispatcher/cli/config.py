"""`fleethand config`: the settings and where each one comes from."""

import click

from fleethand_dispatcher.cli import options, shapes, tables
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session


@click.group(cls=FleethandGroup)
def config() -> None:
    """Look at the settings.

    \b
    Example:
      fleethand config show
    """


@config.command("show")
@options.as_json
@pass_session
def show(session: Session, /, *, as_json: bool) -> None:
    """Print each setting, its value, where it comes from and what it is for; secrets are masked.

    \b
    Example:
      FLEETHAND_LEASE_S=60 fleethand config show
    """
    from fleethand_common.settings import show as shown  # noqa: PLC0415

    loaded, origins = session.load()
    rows = list(shown(loaded, origins))
    if as_json:
        shapes.print_json([row._asdict() for row in rows])
        return
    tables.print_rows(("setting", "value", "origin", "meaning"), rows)
