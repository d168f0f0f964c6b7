"""`fleethand principal`: people and programs with API keys."""

from typing import TYPE_CHECKING, Any

import click

from fleethand_dispatcher.cli import answers, options, shapes, tables
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher.trust_models import NewApiKey, Principal

name_argument = click.argument("name", metavar="NAME")


@click.group(cls=FleethandGroup)
def principal() -> None:
    """Give people and programs API keys, and take them away.

    \b
    Example:
      fleethand principal create ops --policy FleethandFullAccess
    """


@principal.command("create")
@name_argument
@click.option("--program", is_flag=True, help="It is a program and not a person.")
@click.option("--policy", "policies", multiple=True, metavar="POLICY", help="Attach this policy; repeat.")
@options.as_json
@pass_session
def create(session: Session, /, *, name: str, program: bool, policies: tuple[str, ...], as_json: bool) -> None:
    """Make a principal and print its API key, which is shown only now.

    \b
    Example:
      fleethand principal create deployer --program --policy web-only
    """
    kind: Any = "program" if program else "user"
    with session.open() as dispatcher:
        _print_key(dispatcher.create_principal(name, kind=kind, policies=policies), as_json=as_json)


@principal.command("list")
@options.as_json
@pass_session
def list_(session: Session, /, *, as_json: bool) -> None:
    """List principals with their policies.

    \b
    Example:
      fleethand principal list
    """
    with session.open() as dispatcher:
        found = dispatcher.describe_principals()
    answers.print_list(found, ("name", "kind", "state", "policies", "created"), _row, as_json=as_json)


@principal.command("show")
@name_argument
@options.as_json
@pass_session
def show(session: Session, /, *, name: str, as_json: bool) -> None:
    """Show one principal; never its key.

    \b
    Example:
      fleethand principal show ops
    """
    with session.open() as dispatcher:
        (found,) = dispatcher.describe_principals(name)
    if as_json:
        shapes.print_json(found)
        return
    fields = {**shapes.plain(found), "policies": ", ".join(found.policies), "key_ids": ", ".join(found.key_ids)}
    tables.print_fields(fields.items())


@principal.command("disable")
@name_argument
@pass_session
def disable(session: Session, /, *, name: str) -> None:
    """Let a principal's keys count for nothing, from now on.

    \b
    Example:
      fleethand principal disable ops
    """
    with session.open() as dispatcher:
        dispatcher.disable_principal(name)
    click.echo(f"{name} is disabled", err=True)


@principal.command("enable")
@name_argument
@pass_session
def enable(session: Session, /, *, name: str) -> None:
    """Let a principal's keys count again.

    \b
    Example:
      fleethand principal enable ops
    """
    with session.open() as dispatcher:
        dispatcher.enable_principal(name)
    click.echo(f"{name} is enabled", err=True)


@principal.command("delete")
@name_argument
@pass_session
def delete(session: Session, /, *, name: str) -> None:
    """Remove a principal; what it did stays in the audit log.

    \b
    Example:
      fleethand principal delete ops
    """
    with session.open() as dispatcher:
        dispatcher.delete_principal(name)
    click.echo(f"{name} is deleted", err=True)


@principal.command("rotate")
@name_argument
@click.option("--overlap", "overlap_s", type=options.WholeSeconds(), default=0, help="The old key is good so long.")
@options.as_json
@pass_session
def rotate(session: Session, /, *, name: str, overlap_s: int, as_json: bool) -> None:
    """Make a new API key for a principal and print it; the old one ends at once, or after --overlap.

    \b
    Example:
      fleethand principal rotate deployer --overlap 1h
    """
    with session.open() as dispatcher:
        _print_key(dispatcher.rotate_principal_key(name, overlap_s=overlap_s), as_json=as_json)


def _row(row: "Principal") -> tuple[object, ...]:
    state = "enabled" if row.enabled else "disabled"
    return row.name, row.kind, state, " ".join(row.policies), shapes.time_text(row.creation_time)


def _print_key(made: "NewApiKey", *, as_json: bool) -> None:
    if as_json:
        shapes.print_json(made)
        return
    click.echo(made.api_key)
    click.echo(f"This is the API key of {made.principal}; it is not kept anywhere and not shown again.", err=True)
