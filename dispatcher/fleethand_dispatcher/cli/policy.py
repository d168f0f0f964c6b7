"""`fleethand policy`: what principals may do."""

import json
from typing import TYPE_CHECKING

import click

from fleethand_dispatcher.cli import answers, exits, options, shapes
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher.trust_models import PolicyRecord, Simulation

policies_argument = click.argument("policies", nargs=-1, required=True, metavar="POLICY…")
principal_option = click.option("--principal", required=True, metavar="NAME", help="The principal.")


@click.group(cls=FleethandGroup)
def policy() -> None:
    """Say what principals may do, and ask what they may.

    \b
    Example:
      fleethand policy create web-only policy.json
      fleethand policy attach --principal ops web-only
    """


@policy.command("create")
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="FILE")
@click.option("--replace", is_flag=True, help="Write it instead of the one of that name.")
@pass_session
def create(session: Session, /, *, name: str, file: str, replace: bool) -> None:
    """Keep a policy, a JSON document in FILE; - is stdin.

    \b
    Example:
      fleethand policy create web-only policy.json
    """
    document = options.read_text(file)
    with session.open() as dispatcher:
        dispatcher.create_policy(name, document, replace=replace)
    click.echo(f"{name} is kept", err=True)


@policy.command("delete")
@click.argument("name", metavar="NAME")
@pass_session
def delete(session: Session, /, *, name: str) -> None:
    """Remove a policy that nobody has.

    \b
    Example:
      fleethand policy delete web-only
    """
    with session.open() as dispatcher:
        dispatcher.delete_policy(name)
    click.echo(f"{name} is deleted", err=True)


@policy.command("list")
@options.as_json
@pass_session
def list_(session: Session, /, *, as_json: bool) -> None:
    """List policies and who has them.

    \b
    Example:
      fleethand policy list
    """
    with session.open() as dispatcher:
        found = dispatcher.describe_policies()
    answers.print_list(found, ("name", "", "principals"), _row, as_json=as_json)


def _row(row: "PolicyRecord") -> tuple[object, ...]:
    return row.name, "built in" if row.built_in else "", " ".join(row.principals)


@policy.command("show")
@click.argument("name", metavar="NAME")
@options.as_json
@pass_session
def show(session: Session, /, *, name: str, as_json: bool) -> None:
    """Print a policy's document.

    \b
    Example:
      fleethand policy show FleethandReadOnly
    """
    with session.open() as dispatcher:
        (found,) = dispatcher.describe_policies(name)
    if as_json:
        shapes.print_json(found)
        return
    click.echo(json.dumps(found.document, indent=2))


@policy.command("attach")
@principal_option
@policies_argument
@pass_session
def attach(session: Session, /, *, principal: str, policies: tuple[str, ...]) -> None:
    """Give a principal policies; they count from its next call on.

    \b
    Example:
      fleethand policy attach --principal ops FleethandReadOnly
    """
    with session.open() as dispatcher:
        held = dispatcher.attach_policy(principal, policies).policies
    click.echo(f"{principal} has {', '.join(held)}", err=True)


@policy.command("detach")
@principal_option
@policies_argument
@pass_session
def detach(session: Session, /, *, principal: str, policies: tuple[str, ...]) -> None:
    """Take policies away from a principal, from its next call on.

    \b
    Example:
      fleethand policy detach --principal ops FleethandReadOnly
    """
    with session.open() as dispatcher:
        held = dispatcher.detach_policy(principal, policies).policies
    click.echo(f"{principal} has {', '.join(held) or 'no policy'}", err=True)


@policy.command("simulate")
@principal_option
@click.option("--action", required=True, metavar="ACTION", help="Such as ecs:RunCommand.")
@click.option("--instance", "-i", "instances", multiple=True, metavar="ID", help="On this host; repeat.")
@click.option("--command", "commands", multiple=True, metavar="ID", help="On this kept command; repeat.")
@click.option("--resource", "resources", multiple=True, metavar="KIND/ID", help="On anything else; repeat.")
@click.option("--user", "run_as", default="", metavar="USER", help="The user that it would run as.")
@click.option("--source-ip", default="", metavar="IP", help="The address that the call would come from.")
@options.as_json
@pass_session
@click.pass_context
def simulate(
    ctx: click.Context,
    session: Session,
    /,
    *,
    principal: str,
    action: str,
    instances: tuple[str, ...],
    commands: tuple[str, ...],
    resources: tuple[str, ...],
    run_as: str,
    source_ip: str,
    as_json: bool,
) -> None:
    """Print what a principal's policies decide, and the statement that does; exits with 3 if anything is denied.

    \b
    Example:
      fleethand policy simulate --principal ops --action ecs:RunCommand --instance web-1 --user root
    """
    named = [f"instance/{name}" for name in instances] + [f"command/{name}" for name in commands] + list(resources)
    if not named:
        raise click.UsageError("say on what: --instance ID, --command ID or --resource KIND/ID.")
    with session.open() as dispatcher:
        found = dispatcher.simulate_policy(principal, action, named, run_as=run_as, source_ip=source_ip)
    answers.print_list(found, ("decision", "resource", "because"), _decision, as_json=as_json)
    if not all(row.allowed for row in found):
        ctx.exit(exits.PARTIAL)


def _decision(row: "Simulation") -> tuple[object, ...]:
    return "allowed" if row.allowed else "denied", row.resource, row.reason
