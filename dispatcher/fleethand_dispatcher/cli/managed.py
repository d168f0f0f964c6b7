"""`fleethand instance modify`, `deregister` and `provision`: what an operator does with enrolled hosts."""

import sys
from pathlib import Path

import click

from fleethand_dispatcher.cli import answers, options
from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session

_instance = click.argument("instance_id", metavar="INSTANCE")


@click.command("modify", cls=FleethandCommand)
@_instance
@click.option("--name", "instance_name", required=True, metavar="NAME", help="Its new name.")
@options.as_json
@pass_session
def modify(session: Session, /, *, instance_id: str, instance_name: str, as_json: bool) -> None:
    """Give an enrolled host another name; targets by name follow with its next heartbeat.

    \b
    Example:
      fleethand instance modify mi-0a1b2c3d4e5f6g7h8i9j --name web-7
    """
    with session.open() as dispatcher:
        changed = dispatcher.modify_managed_instance(instance_id, instance_name=instance_name)
    answers.print_done(changed, f"{instance_id} is called {changed.instance_name}", as_json=as_json)


@click.command("deregister", cls=FleethandCommand)
@_instance
@options.as_json
@pass_session
def deregister(session: Session, /, *, instance_id: str, as_json: bool) -> None:
    """End a host's enrolment at once: its keys and its Redis user are worth nothing from now on.

    \b
    Example:
      fleethand instance deregister mi-0a1b2c3d4e5f6g7h8i9j
    """
    with session.open() as dispatcher:
        gone = dispatcher.deregister_managed_instance(instance_id)
    answers.print_done(gone, f"{instance_id} deregistered", as_json=as_json)


@click.command("provision", cls=FleethandCommand)
@_instance
@click.option("--name", default="", metavar="NAME", help="Its name; else its hostname.")
@click.option("--tag", "-t", "tags", multiple=True, metavar="K=V", help="A tag of it; then it has no others. Repeat.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it to this file.")
@pass_session
def provision(session: Session, /, *, instance_id: str, name: str, tags: tuple[str, ...], out: Path | None) -> None:
    """Make an identity for a host that cannot reach the registration service; it is a secret.

    Put it into the state folder of that host's worker as provision.json; the worker takes it in when it starts.
    A host that had this id before is not enrolled any more.

    \b
    Example:
      fleethand instance provision web-1 --out provision.json
    """
    from fleethand_common.credentials import encode_provision  # noqa: PLC0415
    from fleethand_dispatcher.keyring import write_secret  # noqa: PLC0415

    if out is None and sys.stdout.isatty():
        raise click.UsageError("it is a secret and does not belong on a screen: give --out FILE, or pipe it.")
    wanted = options.pairs(tags, "--tag")
    with session.open() as dispatcher:
        made = encode_provision(dispatcher.provision_instance(instance_id, name=name, tags=wanted))
    if out is None:
        click.echo(made)
        return
    write_secret(out, made)
    click.echo(f"{out} is the identity of {instance_id}; move it there as provision.json, and keep no copy", err=True)
