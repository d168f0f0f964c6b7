"""`fleethand keys`: the keys that sign orders, and those that seal the records."""

import shlex
from typing import TYPE_CHECKING

import click

from fleethand_dispatcher.cli import answers, options, shapes, tables
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher.trust_models import SigningKeyRecord

_HEADER = ("name", "id", "state", "from", "until", "held by", "hosts")

signer_option = click.option(
    "--signer-command", metavar="COMMAND", help="A program that holds the signing key; without it, a file does."
)


@click.group(cls=FleethandGroup)
def keys() -> None:
    """Make the control plane's keys, change the one that signs, and end one that was seen by others.

    \b
    Example:
      fleethand keys create
      fleethand keys rotate --name 2026-08
    """


@keys.command("create")
@click.option("--if-missing", is_flag=True, help="Do nothing if there are keys already.")
@click.option("--name", default="first", show_default=True, metavar="NAME", help="What the signing key is called.")
@signer_option
@pass_session
def create(session: Session, /, *, if_missing: bool, name: str, signer_command: str | None) -> None:
    """Make all keys of a control plane in the folder of the setting keys_dir; needs no server.

    \b
    Example:
      fleethand keys create --if-missing
      fleethand keys create --signer-command 'ssh hsm fleethand-signer'
    """
    from fleethand_dispatcher.keyring import Keyring  # noqa: PLC0415

    folder = session.load()[0].keys_path()
    if if_missing and (folder / "vault.key").exists():
        Keyring.load(folder)
        click.echo(f"there are keys in {folder}", err=True)
        return
    Keyring.create(folder, name=name, command=shlex.split(signer_command or ""))
    click.echo(f"made keys in {folder}; keep a copy of it where nobody else can read it", err=True)


@keys.command("list")
@options.as_json
@pass_session
def list_(session: Session, /, *, as_json: bool) -> None:
    """List the keys that sign: which one signs now, and how many hosts know each.

    \b
    Example:
      fleethand keys list
    """
    with session.open() as dispatcher:
        found = dispatcher.describe_signing_keys()
    answers.print_list(found, _HEADER, _row, as_json=as_json)


@keys.command("rotate")
@click.option("--name", metavar="NAME", help="What the new key is called; the date unless given.")
@click.option(
    "--starts-in", "starts_in_s", type=options.WholeSeconds(), default=30, show_default=True,
    help="So long hosts have to learn of it before it signs.",
)  # fmt: skip
@signer_option
@options.as_json
@pass_session
def rotate(
    session: Session, /, *, name: str | None, starts_in_s: int, signer_command: str | None, as_json: bool
) -> None:
    """Make a new signing key, tell every host by what the old one signs, and sign with it soon.

    \b
    Example:
      fleethand keys rotate --name 2026-08
    """
    with session.open() as dispatcher:
        chosen = name or "key-" + dispatcher.server_time().replace(":", "").replace("-", "")
        made = dispatcher.rotate_signing_key(
            chosen, starts_in_s=starts_in_s, signer_command=shlex.split(signer_command or "")
        )
    _print(made, as_json=as_json)


@keys.command("revoke")
@click.argument("name", metavar="NAME")
@click.option("--force", is_flag=True, help="Even if it is the last one: every host must then be enrolled anew.")
@options.as_json
@pass_session
def revoke(session: Session, /, *, name: str, force: bool, as_json: bool) -> None:
    """Have every host take nothing any more that a key signed; another key tells them.

    \b
    Example:
      fleethand keys revoke first
    """
    with session.open() as dispatcher:
        revoked = dispatcher.revoke_signing_key(name, force=force)
    _print(revoked, as_json=as_json)


def _print(row: "SigningKeyRecord", *, as_json: bool) -> None:
    if as_json:
        shapes.print_json(row)
        return
    tables.print_rows(_HEADER, [_row(row)])


def _row(row: "SigningKeyRecord") -> tuple[object, ...]:
    state = "revoked" if row.revoked_time else "signs" if row.signs else "valid"
    held = "a program" if row.signer_command else "a file"
    since = shapes.time_text(row.not_before_time) if row.not_before_time.timestamp() > 0 else "the beginning"
    times = since, shapes.time_text(row.revoked_time)
    return row.name, row.key_id, state, *times, held, f"{row.hosts} of {row.hosts_enrolled}"
