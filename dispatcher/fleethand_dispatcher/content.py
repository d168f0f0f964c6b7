"""A command's content and parameters: decode, measure, and check the values that it is run with (spec 2.1, 7)."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fleethand_common import limits, templates
from fleethand_common.commands import ContentEncoding, Interpolation
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.models import Command, ParameterDefinition

MASK = "******"


def decode(content: str, encoding: str, limit_bytes: int) -> str:
    """Return the plain content.

    Args:
        encoding: `Base64` in any case; anything else means plain text, as in the API.
        limit_bytes: bound on the Base64 form.
    """
    if encoding.lower() == ContentEncoding.BASE64.lower():
        content = _from_base64(content)
    if not is_text(content):
        raise refusal("InvalidParameter", "The content holds no valid Unicode.")
    if not content.strip():
        raise refusal("MissingParameter.CommandContent", "Give it a script to run.")
    check_size(content, limit_bytes)
    return content


def _from_base64(content: str) -> str:
    try:
        return base64.b64decode("".join(content.split()), validate=True).decode()
    except ValueError as error:  # not Base64, not ASCII or not UTF-8
        raise refusal("CmdContent.DecodeError", f"{error}; pass content_encoding='PlainText' if it is.") from error


def is_text(value: str) -> bool:
    """Tell whether *value* can be written as UTF-8; a lone surrogate cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def base64_size(content: str) -> int:
    """Return the number of bytes of the Base64 form of *content*."""
    return (len(content.encode()) + 2) // 3 * 4


def check_size(content: str, limit_bytes: int) -> None:
    """Refuse content whose Base64 form is larger than *limit_bytes*."""
    size = base64_size(content)
    if size > limit_bytes:
        raise refusal("CmdContent.ExceedLimit", f"Its Base64 form has {size} bytes; {limit_bytes} are allowed.")


def parameter_names(content: str, *, interpolation: str) -> tuple[str, ...]:
    """Return the checked custom names in *content*."""
    names = templates.custom_names(content)
    for name in names:
        _check_name(name)
    if len(names) > limits.PARAMETERS_DEFINED:
        bound = f"{len(names)} names were found; {limits.PARAMETERS_DEFINED} are allowed."
        raise refusal("CmdParamCount.ExceedLimit", bound)
    if interpolation == Interpolation.ENV:
        _check_environment_names(names)
    return names


def _check_name(name: str) -> None:
    if not name:
        raise refusal("CmdParam.EmptyKey", "The content holds {{ }} without a name.")
    if not templates.NAME.fullmatch(name):
        raise refusal("CmdParam.InvalidParamName", f"Cannot use {name!r}.")
    if len(name) > limits.PARAMETER_NAME_CHARS:
        bound = f"{name!r} has {len(name)} characters; {limits.PARAMETER_NAME_CHARS} are allowed."
        raise refusal("CmdParamName.ExceedLimit", bound)


def _check_environment_names(names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        variable = templates.environment_name(name)
        if variable in seen:
            both = f"{name!r} and {seen[variable]!r} would both be the environment variable {variable}; rename one."
            raise refusal("CmdParam.InvalidParamName", both)
        seen[variable] = name


def check_definitions(definitions: Sequence[ParameterDefinition], names: Sequence[str]) -> None:
    """Refuse definitions of names that the content lacks, of a broken pattern, or whose default does not fit."""
    known = {name.lower() for name in names}
    for definition in definitions:
        name = definition.parameter_name
        if name.lower() not in known:
            raise refusal("InvalidParameter.ParameterDefinitions", f"The content has no {{{{{name}}}}}.")
        try:
            re.compile(definition.pattern_regex)
        except re.error as error:
            raise refusal("InvalidParameter.ParameterDefinitions", f"The pattern of {name!r}: {error}.") from error
        if definition.default_value is not None:
            _check_value(definition, definition.default_value)


def check_values(
    values: Mapping[str, Any] | None,
    names: Sequence[str],
    definitions: Sequence[ParameterDefinition],
    *,
    enabled: bool,
) -> dict[str, str]:
    """Return the value of every name: what was passed, else its default, else an empty string (spec 7.3)."""
    if not enabled:
        if values:
            raise refusal("Parameter.Disabled", "Pass enable_parameter=True to use {{name}} in the content.")
        return {}
    passed = _passed_values(values or {}, names)
    defined = {definition.parameter_name.lower(): definition for definition in definitions}
    _check_none_is_missing(passed, names, defined)
    result: dict[str, str] = {}
    for name in names:
        definition = defined.get(name.lower())
        value = passed.get(name.lower())
        if value is None:
            value = (definition.default_value if definition else None) or ""
        elif definition:
            _check_value(definition, value)
        result[name] = value
    return result


def _passed_values(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    if len(values) > limits.PARAMETERS_PASSED:
        bound = f"{len(values)} were passed; {limits.PARAMETERS_PASSED} are allowed."
        raise refusal("ParameterCount.ExceedLimit", bound)
    known = {name.lower() for name in names}
    passed: dict[str, str] = {}
    for key, value in values.items():
        if len(key) > limits.PARAMETER_NAME_CHARS:
            raise refusal("ParameterKey.ExceedLimit", f"{key!r} has {len(key)} characters; 64 are allowed.")
        if key.lower() in passed:
            raise refusal("ParameterKey.Duplicate", f"{key!r} is given twice; names are compared without case.")
        if key.lower() not in known:
            has = ", ".join(names) or "none"
            raise refusal("Parameter.NotMatched", f"The content has no {{{{{key}}}}}; it has: {has}.")
        if not isinstance(value, str):
            raise refusal("ParameterType.NotSupported", f"The value of {key!r} is not a string.")
        if "\0" in value or not is_text(value):
            raise refusal(
                "InvalidParameterCharset.Parameters", f"The value of {key!r} holds a NUL or no valid Unicode."
            )
        passed[key.lower()] = value
    return passed


def _check_none_is_missing(
    passed: Mapping[str, str], names: Sequence[str], defined: Mapping[str, ParameterDefinition]
) -> None:
    bare = [
        name
        for name in names
        if name.lower() not in passed and (name.lower() not in defined or defined[name.lower()].default_value is None)
    ]
    required = [name for name in bare if name.lower() in defined and defined[name.lower()].required]
    if required or (bare and not passed):
        raise refusal("Parameter.MissingValue", f"Give a value for: {', '.join(required or bare)}.")


def _check_value(definition: ParameterDefinition, value: str) -> None:
    shown = MASK if definition.secret else repr(value)
    if definition.possible_values and value not in definition.possible_values:
        allowed = MASK if definition.secret else ", ".join(definition.possible_values)
        complaint = f"Cannot use {shown} for {definition.parameter_name!r}; allowed are: {allowed}."
        raise refusal("InvalidParameter.Parameters", complaint)
    if definition.pattern_regex and not re.fullmatch(definition.pattern_regex, value):
        complaint = f"Cannot use {shown} for {definition.parameter_name!r}; it must match {definition.pattern_regex}."
        raise refusal("InvalidParameter.Parameters", complaint)


def mask(values: Mapping[str, str], secret_names: Sequence[str]) -> dict[str, str]:
    """Return *values* with the secret ones masked."""
    secret = {name.lower() for name in secret_names}
    return {name: MASK if name.lower() in secret else value for name, value in values.items()}


def mask_defaults(command: Command) -> Command:
    """Return *command* as it may be shown: with the defaults of its secret parameters masked."""
    shown = tuple(
        definition.model_copy(update={"default_value": MASK})
        if definition.secret and definition.default_value is not None
        else definition
        for definition in command.parameter_definitions
    )
    return command.model_copy(update={"parameter_definitions": shown})
