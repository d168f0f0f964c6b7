"""`fleethand user`: who may log in to the Redis server, each with the rights of its part and no more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleethand_common.ids import is_instance_id
from fleethand_dispatcher.cli import answers, options, shapes
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session
from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.redis_rules import host_rules, role_rules

if TYPE_CHECKING:
    from fleethand_dispatcher.redis_users import RedisUsers


@click.group(cls=FleethandGroup)
def user() -> None:
    """Make, list and delete users of the Redis server; needs one that may, such as its own `default`.

    A stack of `fleethand up` has them already.

    \b
    Example:
      fleethand user create aggregator --redis-url rediss://default:PASSWORD@10.0.0.5:6379/0
    """


def _part(function: Callable[..., Any]) -> Callable[..., Any]:
    role = click.argument("role", type=click.Choice([role.value for role in Role]), required=False, metavar="[ROLE]")
    text = f"Not for a role ({', '.join(Role)}), but for this host."
    return role(click.option("--host", metavar="ID", help=text)(function))


def _named(role: str | None, host: str | None) -> Role | str:
    """Return the role, or the instance id of the host."""
    if host is not None and not is_instance_id(host):
        raise click.UsageError(f"cannot use {host!r} as instance id: it must be letters, digits, . _ -")
    if role is not None and host is None:
        return Role(role)
    if host is not None and role is None:
        return host
    raise click.UsageError(f"name one part: a role, which is one of {', '.join(Role)}, or --host ID.")


@contextmanager
def _users(session: Session) -> "Iterator[tuple[RedisUsers, str]]":
    from fleethand_dispatcher.connection import translated  # noqa: PLC0415
    from fleethand_dispatcher.redis_users import RedisUsers  # noqa: PLC0415

    settings, _ = session.settings()
    with translated(), RedisUsers.of(settings) as users:
        yield users, settings.users_redis_url or settings.redis_url


@user.command("list")
@options.as_json
@pass_session
def list_(session: Session, /, *, as_json: bool) -> None:
    """List the users that were made for hosts and roles.

    \b
    Example:
      fleethand user list
    """
    with _users(session) as (users, _):
        names = users.all()
    found = [{"user": name} for name in names]
    answers.print_list(found, ("user",), lambda row: (row["user"],), as_json=as_json)


@user.command("create")
@_part
@click.option("--into", metavar="FILE", help="Write the URL of a role into this settings file, and print none.")
@options.as_json
@pass_session
def create(session: Session, /, *, role: str | None, host: str | None, into: str | None, as_json: bool) -> None:
    """Make the user of a part and print its URL, once: the server keeps no password. One that was there before ends.

    A host that is enrolled gets its user then; this is for roles, and for a host whose password got into wrong hands.
    With --into, which may be repeated at each start, a user whose password is in FILE stays and has this version's
    rights; FILE is for its owner alone, and a part reads it as FLEETHAND_CONFIG.

    \b
    Example:
      fleethand user create dispatcher
      fleethand user create beat --into /etc/fleethand/beat.toml
      fleethand user create --host web-1
    """
    part = _named(role, host)
    if into is not None:
        _create_into(session, part, into, as_json=as_json)
        return
    with _users(session) as (users, server):
        made = users.create_role(part) if isinstance(part, Role) else users.create_host(part)
        kept = users.save()
    url = made.url(server)
    if as_json:
        shapes.print_json({"user": made.user, "password": made.password, "url": url, "kept": kept})
    else:
        click.echo(url)


def _create_into(session: Session, part: Role | str, into: str, *, as_json: bool) -> None:
    if not isinstance(part, Role):
        raise click.UsageError("--into is for a role; a host keeps its own credential.")
    from fleethand_dispatcher.login_file import LoginFile  # noqa: PLC0415

    file = LoginFile(Path(into))
    known = file.read()
    with _users(session) as (users, server):
        stays = known is not None and users.renew_role(part, known)
        if not stays:
            file.write(users.create_role(part).url(server))
        kept = users.save()
    record = {"role": part, "file": into, "made": not stays, "kept": kept}
    answers.print_done(record, f"{into}: {'renewed' if stays else 'made'} the user of the {part}", as_json=as_json)


@user.command("delete")
@click.argument("name", metavar="USER")
@pass_session
def delete(session: Session, /, *, name: str) -> None:
    """Delete a user and end its connections.

    \b
    Example:
      fleethand user delete host-web-1
    """
    with _users(session) as (users, _):
        found = users.delete(name)
        users.save()
    click.echo(f"deleted {name}" if found else f"there is no user {name}", err=True)


@user.command("rules")
@_part
@options.as_json
def rules(*, role: str | None, host: str | None, as_json: bool) -> None:
    """Print what the user of a part may do, as `ACL SETUSER` wants it; asks no server.

    \b
    Example:
      fleethand user rules beat
      fleethand user rules --host web-1
    """
    part = _named(role, host)
    words = role_rules(part) if isinstance(part, Role) else host_rules(part)
    if as_json:
        shapes.print_json(words)
    else:
        click.echo("\n".join(words))
