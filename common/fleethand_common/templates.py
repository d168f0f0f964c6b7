"""`{{name}}` in a command's content: find the names, check them, and fill them in one pass (spec section 7).

A value is never scanned again, so a value that looks like a placeholder stays text.
"""

import re
from collections.abc import Callable, Mapping

from fleethand_common.commands import CommandType, Interpolation
from fleethand_common.errors import ExecutionError
from fleethand_common.instance_errors import InstanceErrorCode

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_BUILT_IN = re.compile(r"(?:ACS|Fleethand)\s*::\s*([\w.-]+)")
NAME = re.compile(r"[A-Za-z0-9_-]+")

BUILT_INS = ("RegionId", "AccountId", "InstanceId", "InstanceName", "InvokeId", "CommandId")
"""The complete documented list; each is written `{{ACS::Name}}` or `{{Fleethand::Name}}` (spec 7.4)."""

_ENV_REFERENCE: Mapping[CommandType, str] = {
    CommandType.SHELL: "${{{name}}}",
    CommandType.POWERSHELL: "${{env:{name}}}",
    CommandType.BAT: "!{name}!",
}


def custom_names(content: str) -> tuple[str, ...]:
    """Return the custom names in *content*, each once, spelled and ordered as they first appear.

    Names are compared without case; the text between the braces is returned unchecked; built-ins are left out.
    """
    seen: dict[str, str] = {}
    for match in _PLACEHOLDER.finditer(content):
        if not _BUILT_IN.fullmatch(match[1]):
            seen.setdefault(match[1].lower(), match[1])
    return tuple(seen.values())


def environment_name(name: str) -> str:
    """Return the environment variable that carries parameter *name* under `env` interpolation."""
    return "FLEETHAND_PARAM_" + name.upper().replace("-", "_")


def fill(content: str, values: Mapping[str, str], built_ins: Mapping[str, str]) -> str:
    """Replace each placeholder by its value, as plain text.

    Args:
        values: custom values; names are compared without case, and a name without a value becomes an empty string.
        built_ins: one value per name of `BUILT_INS`.

    Raises:
        ExecutionError: `InvalidSystemBuiltInParameter` for an unknown built-in name.

    Source: spec 7.2, 7.3.
    """
    folded = {name.lower(): value for name, value in values.items()}
    return _replace(content, lambda name: folded.get(name.lower(), ""), built_ins)


def fill_from_environment(
    content: str, values: Mapping[str, str], built_ins: Mapping[str, str], command_type: CommandType
) -> tuple[str, dict[str, str]]:
    """Replace each custom placeholder by a reference to an environment variable.

    Returns:
        The content, and the variables that the script must be started with.
    """
    folded = {name.lower(): value for name, value in values.items()}
    environment: dict[str, str] = {}

    def refer(name: str) -> str:
        variable = environment_name(name)
        environment[variable] = folded.get(name.lower(), "")
        return _ENV_REFERENCE[command_type].format(name=variable)

    filled = _replace(content, refer, built_ins)
    if command_type is CommandType.BAT and environment:
        filled = "@setlocal EnableDelayedExpansion\r\n" + filled
    return filled, environment


def render(
    content: str,
    values: Mapping[str, str],
    built_ins: Mapping[str, str],
    command_type: CommandType,
    interpolation: Interpolation,
) -> tuple[str, dict[str, str]]:
    """Return what a host would run, and the environment variables that it adds, for either way of interpolation."""
    if interpolation is Interpolation.ENV:
        return fill_from_environment(content, values, built_ins, command_type)
    return fill(content, values, built_ins), {}


def _replace(content: str, custom: Callable[[str], str], built_ins: Mapping[str, str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        built_in = _BUILT_IN.fullmatch(match[1])
        if built_in is None:
            return custom(match[1])
        if built_in[1] not in built_ins:
            raise ExecutionError(
                InstanceErrorCode.INVALID_SYSTEM_BUILT_IN_PARAMETER,
                f"cannot fill {match[0]}: there is no such built-in parameter; known are {', '.join(BUILT_INS)}",
            )
        return built_ins[built_in[1]]

    return _PLACEHOLDER.sub(replacement, content)
