"""`fleethand command`: keep commands under a name, to be invoked again."""

from typing import TYPE_CHECKING, Any

import click

from fleethand_dispatcher.cli import answers, options, shapes, tables
from fleethand_dispatcher.cli.lookup import command_id_of, pages
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session
from fleethand_dispatcher.cli.words import TypeOption, content, type_of

if TYPE_CHECKING:
    from fleethand_dispatcher.models import Command

command_argument = click.argument("ident", metavar="COMMAND")
_description = click.option("--description", metavar="TEXT", help="What it is for.")
_working_dir = click.option("--working-dir", metavar="DIR", help="Run in this folder of the host.")
_timeout = click.option("--timeout", "timeout_s", type=options.WholeSeconds(), help="Kill it after this.")
_words = click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")


@click.group(cls=FleethandGroup, short_help="Keep commands, to be invoked again.")
def command() -> None:
    """Create, list, show, modify, clone and delete kept commands; a COMMAND is an id or a name.

    \b
    Example:
      fleethand command create --name uptime -- uptime
      fleethand invoke uptime --all
    """


@command.command("create")
@click.option("--name", required=True, metavar="NAME", help="Its name; `fleethand invoke NAME` runs it.")
@_description
@options.content_options
@options.template_options
@_working_dir
@_timeout
@click.option("--client-token", metavar="TOKEN", help="The same call again with this token creates nothing twice.")
@options.as_json
@_words
@pass_session
def create(session: Session, /, *, words: tuple[str, ...], **given: Any) -> None:
    """Keep a command; prints its id. The script comes from after --, from --file or from stdin.

    \b
    Example:
      fleethand command create --name greet --define who,default=world -- 'echo "hello {{who}}"'
      fleethand command create --name deploy --file deploy.sh --timeout 10m
    """
    kind = given["kind"] or type_of(given["file"])
    template = options.template_of(given)
    text = content(words, given["file"], kind, from_environment=template["interpolation"] == "env")
    with session.open() as dispatcher:
        created = dispatcher.create_command(
            name=given["name"], type=kind, command_content=text, **template, **_given(given, "client_token")
        )
    _print_id(created, as_json=given["as_json"])


@command.command("list")
@click.option("--name", metavar="TEXT", help="Only those with this name.")
@click.option("--type", "kind", type=TypeOption(), metavar="TYPE", help="Only shell, powershell or bat.")
@click.option("--max", "limit", type=click.IntRange(1), default=100, show_default=True, help="How many, newest first.")
@options.as_json
@pass_session
def list_(session: Session, /, *, name: str | None, kind: str | None, limit: int, as_json: bool) -> None:
    """List kept commands, newest first.

    \b
    Example:
      fleethand command list --type powershell
    """
    with session.open() as dispatcher:
        found = list(pages(dispatcher.describe_commands, limit, name=name, type=kind))
    answers.print_list(found, ("command", "name", "type", "invoked", "description"), _row, as_json=as_json)


def _row(row: "Command") -> tuple[object, ...]:
    return row.command_id, row.name, row.type, row.invoke_times, row.description


@command.command("show")
@command_argument
@click.option("--content", "content_only", is_flag=True, help="Print nothing but the script.")
@options.as_json
@pass_session
def show(session: Session, /, *, ident: str, content_only: bool, as_json: bool) -> None:
    """Show a command.

    \b
    Example:
      fleethand command show deploy --content > deploy.sh
    """
    with session.open() as dispatcher:
        command_id = command_id_of(dispatcher, ident)
        found = next(pages(dispatcher.describe_commands, command_id=command_id), None)
    if found is None:
        raise _not_found(ident)
    if as_json:
        shapes.print_json(found)
    elif content_only:
        click.echo(found.command_content, nl=not found.command_content.endswith("\n"))
    else:
        fields = shapes.plain(found)
        fields["parameter_names"] = ", ".join(found.parameter_names)
        fields["parameter_definitions"] = "\n".join(str(item) for item in fields["parameter_definitions"])
        tables.print_fields(fields.items())


@command.command("modify")
@command_argument
@click.option("--name", metavar="NAME", help="Its new name.")
@_description
@_working_dir
@_timeout
@options.as_json
@pass_session
def modify(session: Session, /, *, ident: str, as_json: bool, **given: Any) -> None:
    """Change a command's name, description, folder or timeout; its script cannot change, clone it for that.

    \b
    Example:
      fleethand command modify deploy --timeout 20m
    """
    with session.open() as dispatcher:
        changed = dispatcher.modify_command(command_id_of(dispatcher, ident), **_given(given, "name"))
    _print_id(changed, as_json=as_json)


@command.command("clone")
@command_argument
@click.option("--name", metavar="NAME", help="The copy's name.")
@_description
@click.option("--file", "-f", metavar="FILE", help="The copy's script is in this file; - is stdin.")
@_working_dir
@_timeout
@options.as_json
@_words
@pass_session
def clone(session: Session, /, *, ident: str, words: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Copy a command, with another script if one is given; prints the copy's id.

    \b
    Example:
      fleethand command clone deploy --name deploy-2 --file deploy-2.sh
    """
    with session.open() as dispatcher:
        command_id = command_id_of(dispatcher, ident)
        changes = _given(given, "name")
        if words or given["file"]:
            changes["command_content"] = content(words, given["file"], type_of(given["file"]))
        copy = dispatcher.clone_command(command_id, **changes)
    _print_id(copy, as_json=as_json)


@command.command("delete")
@click.argument("idents", nargs=-1, required=True, metavar="COMMAND…")
@pass_session
def delete(session: Session, /, *, idents: tuple[str, ...]) -> None:
    """Delete commands; what was run with them stays in the records.

    \b
    Example:
      fleethand command delete deploy deploy-2
    """
    with session.open() as dispatcher:
        for command_id in [command_id_of(dispatcher, ident) for ident in idents]:
            dispatcher.delete_command(command_id)
            click.echo(command_id)


def _given(options_given: dict[str, Any], *more: str) -> dict[str, Any]:
    names = ("description", "working_dir", "timeout_s", *more)
    return {name: options_given[name] for name in names if options_given[name] is not None}


def _print_id(found: "Command", *, as_json: bool) -> None:
    if as_json:
        shapes.print_json(found)
    else:
        click.echo(found.command_id)


def _not_found(ident: str) -> Exception:
    from fleethand_common.errors import RequestError  # noqa: PLC0415

    return RequestError("InvalidCmdId.NotFound", f"cannot find command {ident!r}")
