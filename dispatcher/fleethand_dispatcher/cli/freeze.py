"""`fleethand freeze` and `unfreeze`: stop all starts on the fleet, and let them go on."""

import time
from typing import TYPE_CHECKING

import click

from fleethand_common.clock import elapsed_s
from fleethand_dispatcher.cli import options, shapes
from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher import Dispatcher
    from fleethand_dispatcher.trust_models import FreezeStatus

CONFIRM_S = 2.0
"""How long to wait until every host that is online has said that it follows."""
_LOOK_S = 0.05


@click.command(cls=FleethandCommand)
@click.option("--reason", default="", metavar="TEXT", help="Told to whoever wants to start something.")
@click.option("--status", is_flag=True, help="Only tell whether the fleet is frozen.")
@options.as_json
@pass_session
def freeze(session: Session, /, *, reason: str, status: bool, as_json: bool) -> None:
    """Let no command start on any host, at once; what runs goes on and can be stopped.

    \b
    Example:
      fleethand freeze --reason "bad deployment"
      fleethand freeze --status
    """
    with session.open() as dispatcher:
        found = dispatcher.freeze_status() if status else _confirmed(dispatcher, dispatcher.freeze(reason))
    _print(found, as_json=as_json)


@click.command(cls=FleethandCommand)
@options.as_json
@pass_session
def unfreeze(session: Session, /, *, as_json: bool) -> None:
    """Let commands start again; orders that waited and are still in their time start now.

    \b
    Example:
      fleethand unfreeze
    """
    with session.open() as dispatcher:
        found = _confirmed(dispatcher, dispatcher.unfreeze())
    _print(found, as_json=as_json)


def _confirmed(dispatcher: "Dispatcher", found: "FreezeStatus") -> "FreezeStatus":
    """Return how things stand once all hosts follow, or after a while: each of them says so as soon as it does."""
    until_s = elapsed_s() + CONFIRM_S
    while found.hosts_frozen != (found.hosts if found.frozen else 0) and elapsed_s() < until_s:
        time.sleep(_LOOK_S)
        found = dispatcher.freeze_status()
    return found


def _print(found: "FreezeStatus", *, as_json: bool) -> None:
    if as_json:
        shapes.print_json(found)
        return
    if not found.frozen:
        click.echo(f"not frozen; {found.hosts_frozen} of {found.hosts} online hosts say that they still are")
        return
    because = f", because: {found.reason}" if found.reason else ""
    click.echo(f"frozen by {found.actor} at {shapes.time_text(found.since_time)}{because}")
    click.echo(f"{found.hosts_frozen} of {found.hosts} online hosts say that they are")
