"""From what stands on the command line, in a file or on stdin to the content of a command."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fleethand_common.commands import CommandType

TYPE_NAMES = {"shell": CommandType.SHELL, "powershell": CommandType.POWERSHELL, "bat": CommandType.BAT}
_SUFFIXES = {".ps1": CommandType.POWERSHELL, ".bat": CommandType.BAT, ".cmd": CommandType.BAT}
_PLACEHOLDER = re.compile(r"(\{\{[^{}]*\}\})")
_POWERSHELL_PLAIN = re.compile(r"[\w@%+=:,./\\-]+")


class TypeOption(click.ParamType[Any]):
    """A command type in the API's spelling or in short: `RunShellScript`, `shell`, `powershell`, `bat`."""

    name = "type"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> CommandType:
        """Return the type that *value* names, whatever its case."""
        known = TYPE_NAMES | {kind.lower(): kind for kind in CommandType}
        if (kind := known.get(str(value).lower())) is None:
            self.fail(f"{value!r} is not one of {', '.join([*CommandType, *TYPE_NAMES])}.", param, ctx)
        return kind


def type_of(file: str | None) -> CommandType:
    """Guess a script's type by its file name; Shell if it does not tell."""
    return _SUFFIXES.get(Path(file or "").suffix.lower(), CommandType.SHELL)


def join(words: Sequence[str], kind: CommandType, *, from_environment: bool = False) -> str:
    """Make one command line of *words*.

    One word is a line of the shell's own language and stays as it is. Several words are a program and its arguments,
    which reach the program exactly as they were given.

    Args:
        from_environment: parameters become environment variables, so a `{{name}}` must not end up in single quotes.
    """
    if len(words) == 1:
        return words[0]
    if kind is CommandType.POWERSHELL:
        quoted = [_quote_powershell(word) for word in words]
        return ("& " if quoted[0] != words[0] else "") + " ".join(quoted)
    if kind is CommandType.BAT:
        return " ".join(_quote_bat(word) for word in words)
    return " ".join(_quote_shell(word, from_environment=from_environment) for word in words)


def content(words: Sequence[str], file: str | None, kind: CommandType, *, from_environment: bool = False) -> str:
    """Return the content that the command line asks for.

    Raises:
        UsageError: there is none, or more than one.
    """
    if words and file:
        raise click.UsageError("give either a command after -- or --file, not both.")
    if words:
        return join(words, kind, from_environment=from_environment)
    if file is None and sys.stdin.isatty():
        raise click.UsageError("nothing to run: write the command after --, or give --file FILE (- is stdin).")
    text = _read(file or "-")
    if not text.strip():
        where = "stdin" if file in (None, "-") else file
        raise click.UsageError(f"nothing to run: {where} is empty; write the command after --, or give --file FILE.")
    return text


def _read(file: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return raw.decode()
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"cannot use {file}: a script is text in UTF-8 ({error.reason}).") from error


def _quote_shell(word: str, *, from_environment: bool) -> str:
    if not from_environment or not _PLACEHOLDER.search(word):
        return shlex.quote(word)
    return "".join(
        f'"{part}"' if _PLACEHOLDER.fullmatch(part) else shlex.quote(part) for part in _PLACEHOLDER.split(word) if part
    )


def _quote_powershell(word: str) -> str:
    return word if _POWERSHELL_PLAIN.fullmatch(word) else "'" + word.replace("'", "''") + "'"


def _quote_bat(word: str) -> str:
    return word if word and not re.search(r"[\s&|<>^()]", word) else '"' + word.replace('"', '""') + '"'
