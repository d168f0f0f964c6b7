"""Options that several commands share, and how their values become arguments of the `Dispatcher`."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher.cli.words import TypeOption

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType[Any]):
    """Seconds, or a number with a unit: `90`, `90s`, `15m`, `2h`, `7d`."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is no duration; write seconds or 90s, 15m, 2h, 7d.", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


class WholeSeconds(Duration):
    """A duration that the API wants in whole seconds."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return seconds."""
        seconds = super().convert(value, param, ctx)
        if seconds != int(seconds):
            self.fail(f"{value!r} is not a whole number of seconds.", param, ctx)
        return int(seconds)


class StatusList(click.ParamType[Any]):
    """Names of statuses, separated by commas, in any case."""

    name = "statuses"

    def __init__(self, kind: type[InstanceStatus] | type[InvocationStatus]) -> None:
        self._known = {status.lower(): status for status in kind}

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the statuses, spelled as in the API."""
        names = [name.strip().lower() for name in str(value).split(",") if name.strip()]
        for name in names:
            if name not in self._known:
                self.fail(f"{name!r} is not one of {', '.join(self._known.values())}.", param, ctx)
        return tuple(self._known[name] for name in names)


def stacked(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Make one decorator of several; the first one's option comes first in the help."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


invocation_id = click.argument("ident", metavar="ID")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")

target_options = stacked(
    click.option("--instance", "-i", "instances", multiple=True, metavar="ID", help="This host; repeat or use commas."),
    click.option("--tag", "-t", "tags", multiple=True, metavar="K=V", help="Hosts with this tag; repeated: with all."),
    click.option("--name", "-n", "names", multiple=True, metavar="GLOB", help="Hosts whose name fits, e.g. 'web-*'."),
    click.option("--all", "-a", "all_instances", is_flag=True, help="Every host that was ever seen."),
    click.option("--limit", metavar="N|N%", help="At most so many of them, e.g. 25 or 10%."),
    click.option("--require-known", is_flag=True, help="Refuse the whole call if one of the ids was never seen."),
)

parameter_options = stacked(
    click.option("--parameter", "-p", "parameters", multiple=True, metavar="K=V", help="A value for {{K}}; repeat."),
    click.option(
        "--parameter-file", "parameter_files", multiple=True, metavar="K=FILE", help="The same, its value in a file."
    ),
)

template_options = stacked(
    click.option("--enable-parameter", is_flag=True, help="Fill {{name}}; implied by --parameter and --define."),
    click.option("--env-parameters", is_flag=True, help="Values as environment variables; they can not become code."),
    click.option(
        "--define",
        "definitions",
        multiple=True,
        metavar="NAME[,RULE…]",
        help="What a value must be: required, secret, default=V, choices=a|b, description=T; last: pattern=REGEX.",
    ),
)

content_options = stacked(
    click.option("--type", "kind", type=TypeOption(), metavar="TYPE", help="shell (default), powershell or bat."),
    click.option("--file", "-f", metavar="FILE", help="The script is in this file; - is stdin."),
)

execution_options = stacked(
    click.option("--timeout", "timeout_s", type=WholeSeconds(), help="Kill it after this; 60 s unless given."),
    click.option("--user", "username", default="", metavar="USER", help="Run as this user of the host."),
    click.option("--working-dir", metavar="DIR", help="Run in this folder of the host."),
    click.option(
        "--deliver-within", "deliver_within_s", type=WholeSeconds(), help="Wait so long for hosts offline, up to 7d."
    ),
    click.option("--kill-only-process", is_flag=True, help="On stop and timeout, leave the script's children alone."),
    click.option("--client-token", metavar="TOKEN", help="The same call again with this token runs nothing twice."),
)

output_options = stacked(
    click.option("--wait-timeout", "wait_timeout_s", type=Duration(), help="Stop waiting after this; hosts go on."),
    click.option(
        "--output",
        type=click.Choice(["auto", "lines", "fold", "none"]),
        default="auto",
        show_default=True,
        help="lines: live, host by host; fold: equal outputs once, at the end; auto: lines, then fold for many hosts.",
    ),
    click.option("--no-prefix", is_flag=True, help="Print lines without the host's name before them."),
    as_json,
)

sending_options = stacked(
    click.option("--detach", "-d", is_flag=True, help="Print the invocation's id and do not wait."),
    click.option("--dry-run", is_flag=True, help="Check everything, send nothing."),
    click.option("--preview", is_flag=True, help="Print which hosts it would reach, send nothing."),
)


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Turn `k=v` texts into a dict.

    Raises:
        UsageError: one of them has no `=`, or a key comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"cannot use {option} {text!r}: write it as key=value.")
        if key in found:
            raise click.UsageError(f"cannot use {option} {key}=… twice.")
        found[key] = value
    return found


def targets_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target arguments of the `Dispatcher`.

    Raises:
        UsageError: no target, or more than one kind.
    """
    given = [name for name in ("instances", "tags", "names", "all_instances") if options[name]]
    if not given:
        raise click.UsageError(
            "say on which hosts, before the command: --instance ID, --tag k=v, --name GLOB or --all."
        )
    if len(given) > 1:
        raise click.UsageError("give one kind of target: --instance, --tag, --name or --all.")
    return {
        "instance_ids": instance_ids_of(options["instances"]),
        "tags": pairs(options["tags"], "--tag"),
        "names": tuple(options["names"]),
        "all_instances": options["all_instances"],
        "limit": options["limit"],
        "require_known": options["require_known"],
    }


def instance_ids_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the ids in *texts*, each of which may name several with commas between them; each id once."""
    return tuple(dict.fromkeys(part for text in texts for part in text.split(",") if part))


def parameters_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the values given for a command's parameters, by name; those from files without a last line break.

    Raises:
        UsageError: a value is given twice, is no `key=value`, or its file cannot be read.
    """
    values = pairs(options["parameters"], "--parameter")
    for key, file in pairs(options["parameter_files"], "--parameter-file").items():
        if key in values:
            raise click.UsageError(f"cannot use both --parameter {key}=… and --parameter-file {key}=….")
        values[key] = read_text(file).removesuffix("\n")
    return values


def read_text(file: str) -> str:
    """Return the text in *file*, or on stdin if it is `-`.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {file}: {error}.") from error


def template_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether and how the content's parameters are filled, and what their values must be."""
    named = bool(options.get("parameters") or options.get("parameter_files") or options["definitions"])
    return {
        "enable_parameter": options["enable_parameter"] or options["env_parameters"] or named,
        "interpolation": "env" if options["env_parameters"] else "text",
        "parameter_definitions": tuple(_definition(text) for text in options["definitions"]),
    }


def execution_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a command is to run; what was not given is left to the `Dispatcher`."""
    arguments: dict[str, Any] = {
        "username": options["username"],
        "deliver_within_s": options["deliver_within_s"],
        "client_token": options["client_token"],
        "dry_run": options["dry_run"],
    }
    if options["timeout_s"] is not None:
        arguments["timeout_s"] = options["timeout_s"]
    if options["working_dir"] is not None:
        arguments["working_dir"] = options["working_dir"]
    if options["kill_only_process"]:
        arguments["termination_mode"] = "Process"
    return arguments


def _definition(text: str) -> Any:
    from fleethand_dispatcher.models import ParameterDefinition  # noqa: PLC0415

    head, has_pattern, pattern = text.partition(",pattern=")
    name, *rules = head.split(",")
    fields: dict[str, Any] = {"parameter_name": name, **({"pattern_regex": pattern} if has_pattern else {})}
    for rule in rules:
        key, equals, value = rule.partition("=")
        if rule in ("required", "secret"):
            fields[rule] = True
        elif equals and key == "default":
            fields["default_value"] = value
        elif equals and key == "choices":
            fields["possible_values"] = tuple(value.split("|"))
        elif equals and key == "description":
            fields["description"] = value
        else:
            raise click.UsageError(
                f"cannot use {rule!r} in --define {text!r}: known are required, secret, default=V, choices=a|b,"
                " description=T and, at the end, pattern=REGEX."
            )
    return ParameterDefinition(**fields)
