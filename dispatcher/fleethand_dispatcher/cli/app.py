"""The root command: which subcommands there are, and the one place where an error becomes a line and an exit code."""

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from fleethand_common import __version__
from fleethand_common.errors import FleethandError
from fleethand_dispatcher.cli import exits
from fleethand_dispatcher.cli.session import DATA_VARIABLE, URL_VARIABLE, FleethandGroup, Session

_PACKAGE = "fleethand_dispatcher.cli."
_OURS = {
    "run": "run:run",
    "invoke": "run:invoke",
    "results": "results:results",
    "explain": "results:explain",
    "targets": "targets:targets",
    "render": "render:render",
    "command": "command:command",
    "invocation": "invocation:invocation",
    "activation": "activation:activation",
    "instance": "instance:instance",
    "schedule": "schedule:schedule",
    "report": "report:report",
    "config": "config:config",
    "doctor": "doctor:doctor",
    "aggregator": "aggregator:aggregator",
    "principal": "principal:principal",
    "policy": "policy:policy",
    "audit": "audit:audit",
    "keys": "keys:keys",
    "freeze": "freeze:freeze",
    "unfreeze": "freeze:unfreeze",
    "registrar": "registrar:registrar",
    "user": "user:user",
}
_STACK = ("up", "down", "status", "demo", "dashboard")
_SECTIONS = {
    "Run on the fleet": ("run", "invoke", "targets", "render"),
    "Look at what happened": ("results", "explain", "invocation"),
    "Run again and again": ("schedule",),
    "Keep": ("command", "activation", "instance"),
    "Trust": ("principal", "policy", "keys", "freeze", "unfreeze", "audit"),
    "This machine": _STACK,
    "Operate": ("doctor", "config", "report", "aggregator", "registrar", "user"),
}


class Root(FleethandGroup):
    """Finds a subcommand when it is asked for, so that one command does not pay for the imports of all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands that can be loaded."""
        return [name for names in _SECTIONS.values() for name in names if self.get_command(ctx, name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return one subcommand."""
        if cmd_name in _STACK:
            return _stack_command(cmd_name)
        if cmd_name not in _OURS:
            return None
        module, attribute = _OURS[cmd_name].split(":")
        found: click.Command = getattr(importlib.import_module(_PACKAGE + module), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands under the headings of what an operator wants to do."""
        known = set(self.list_commands(ctx))
        for title, names in _SECTIONS.items():
            found = [(name, self.get_command(ctx, name)) for name in names if name in known]
            if rows := [(name, command.get_short_help_str(80)) for name, command in found if command]:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; turn what is expected to go wrong into one line on stderr and an exit code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except FleethandError as error:
            click.echo(f"error: {str(error).rstrip('.')} ({error.code})", err=True)
            ctx.exit(exits.ERROR)
        except BrokenPipeError:
            _forget_stdout()
            ctx.exit(exits.PIPE_CLOSED)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(exits.INTERRUPTED)
        return result


def _stack_command(name: str) -> click.Command | None:
    try:
        module = importlib.import_module(_PACKAGE + "stack_commands")
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith(_PACKAGE.rstrip(".")):
            raise
        return None
    commands: Sequence[click.Command] = module.COMMANDS
    return next((command for command in commands if command.name == name), None)


def _forget_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain about the closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog='Shell completion: eval "$(_FLEETHAND_COMPLETE=bash_source fleethand)" (or zsh_source, fish_source).',
)
@click.version_option(__version__, prog_name="fleethand")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Run commands on a whole fleet of hosts and get one honest answer.

    \b
    Example:
      fleethand up --workers 3
      fleethand run --all -- hostname
    """
    if ctx.invoked_subcommand in _STACK:  # these have options of their own, which the environment fills
        session = ctx.ensure_object(Session)
        given = {DATA_VARIABLE: session.data, URL_VARIABLE: session.redis_url}
        os.environ.update({name: str(value) for name, value in given.items() if value is not None})


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run `fleethand` and leave the process with its exit code."""
    gc.set_threshold(50_000, 20, 50)  # what is imported stays; looking through it again and again takes a tenth longer
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a host's output must not break on a poor locale
    try:
        code = root.main(args, prog_name="fleethand", standalone_mode=False)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(exits.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else exits.OK)
