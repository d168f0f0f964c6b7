"""`fleethand activation`: what lets hosts enrol themselves."""

import shlex
from typing import TYPE_CHECKING

import click

from fleethand_dispatcher.cli import answers, options, shapes
from fleethand_dispatcher.cli.lookup import pages
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher.models import Activation, NewActivation

_activation = click.argument("activation_id", metavar="ACTIVATION")


@click.group(cls=FleethandGroup, short_help="Let hosts enrol themselves.")
def activation() -> None:
    """Create, list, disable and delete activations; each is an id and a code that enrol hosts.

    \b
    Example:
      fleethand activation create --name web --tag env=prod --count 20 --hours 4
    """


@activation.command("create")
@click.option("--name", "instance_name", default="", metavar="PREFIX", help="Hosts are called PREFIX-001 and so on.")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@click.option("--count", "instance_count", type=int, default=10, show_default=True, help="Hosts that it may enrol.")
@click.option("--hours", "hours", type=int, default=4, show_default=True, help="How long it may be used.")
@click.option("--from", "ip_address_range", default="", metavar="CIDR", help="Where hosts must come from.")
@click.option("--tag", "-t", "tags", multiple=True, metavar="K=V", help="A tag of every host that it enrols; repeat.")
@click.option("--client-token", metavar="TOKEN", help="The same call again with this token creates nothing twice.")
@options.as_json
@pass_session
def create(
    session: Session,
    /,
    *,
    instance_name: str,
    description: str,
    instance_count: int,
    hours: int,
    ip_address_range: str,
    tags: tuple[str, ...],
    client_token: str | None,
    as_json: bool,
) -> None:
    """Make an activation; prints the command to run on each host. Its code is shown here and never again.

    \b
    Example:
      fleethand activation create --name web --tag env=prod --from 10.0.0.0/16
    """
    with session.open() as dispatcher:
        created = dispatcher.create_activation(
            instance_name=instance_name,
            description=description,
            instance_count=instance_count,
            time_to_live_in_hours=hours,
            ip_address_range=ip_address_range,
            tags=options.pairs(tags, "--tag"),
            client_token=client_token,
        )
    if as_json:
        shapes.print_json(created)
        return
    click.echo(f"on each host, as root, before {shapes.time_text(created.expiration_time)}:", err=True)
    click.echo(register_command(created))
    if not created.registration_url:
        click.echo("no registration service was started yet: `fleethand registrar`; put its URL in", err=True)


@activation.command("list")
@click.option("--name", "instance_name", metavar="PREFIX", help="Only those with this prefix.")
@click.option("--tag", "-t", "tags", multiple=True, metavar="K=V", help="Only with this tag; repeated: with all.")
@options.as_json
@pass_session
def list_(session: Session, /, *, instance_name: str | None, tags: tuple[str, ...], as_json: bool) -> None:
    """List activations, newest first; never their codes.

    \b
    Example:
      fleethand activation list --tag env=prod
    """
    wanted = options.pairs(tags, "--tag")
    with session.open() as dispatcher:
        found = list(pages(dispatcher.describe_activations, instance_name=instance_name, tags=wanted))
    header = ("activation", "name", "state", "used", "expires", "from", "description")
    answers.print_list(found, header, _row, as_json=as_json)


@activation.command("disable")
@_activation
@options.as_json
@pass_session
def disable(session: Session, /, *, activation_id: str, as_json: bool) -> None:
    """Have an activation enrol nobody any more; hosts that it enrolled go on.

    \b
    Example:
      fleethand activation disable 4ECEEE12-56F1-4FBC-9AB1-890F1234ABCD
    """
    with session.open() as dispatcher:
        changed = dispatcher.disable_activation(activation_id)
    answers.print_done(changed, f"{activation_id} disabled", as_json=as_json)


@activation.command("delete")
@_activation
@options.as_json
@pass_session
def delete(session: Session, /, *, activation_id: str, as_json: bool) -> None:
    """Forget an activation; refused while a host that it enrolled is not deregistered.

    \b
    Example:
      fleethand activation delete 4ECEEE12-56F1-4FBC-9AB1-890F1234ABCD
    """
    with session.open() as dispatcher:
        gone = dispatcher.delete_activation(activation_id)
    answers.print_done(gone, f"{activation_id} deleted", as_json=as_json)


def register_command(created: "NewActivation") -> str:
    """Return the line that enrols a host; the code is in the environment, as every user can read arguments."""
    pin = ("--pin", created.registration_pin) if created.registration_pin else ()
    words = (
        "fleethand-worker",
        "register",
        "--url",
        created.registration_url or "https://<registration service>",
        *pin,
    )
    line = shlex.join((*words, "--activation-id", created.activation_id))
    return f"FLEETHAND_ACTIVATION_CODE={shlex.quote(created.activation_code)} {line}"


def _row(row: "Activation") -> tuple[object, ...]:
    state = "usable" if row.usable else "disabled" if row.disabled else "over"
    used = f"{row.registered_count}/{row.instance_count}"
    expires = shapes.time_text(row.expiration_time)
    return row.activation_id, row.instance_name, state, used, expires, row.ip_address_range, row.description
