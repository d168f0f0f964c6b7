"""How a role's settings are declared, read and shown: flag before environment before file before default.

A role declares a frozen dataclass whose fields are made by `setting`; `load` reads it once, at the top.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from fleethand_common.errors import SettingsError

PREFIX = "FLEETHAND_"
S = TypeVar("S")


class Shown(NamedTuple):
    """One row of `config show`."""

    name: str
    value: str
    origin: str
    help: str


def setting(default: Any = dataclasses.MISSING, *, help: str, secret: bool = False) -> Any:  # noqa: A002
    """Declare one setting; its unit is in its name or in *help*. Without a default it must be given."""
    metadata = {"help": help, "secret": secret}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def environment_name(name: str) -> str:
    """Return the environment variable of setting *name*."""
    return PREFIX + name.upper()


def load(
    kind: type[S], *, flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None
) -> tuple[S, dict[str, str]]:
    """Read every setting of *kind* from the first place that has it.

    Args:
        flags: values given on the command line or in code; None means "not given".
        environ: usually `os.environ`.
        file: a TOML file of setting names, or None.

    Returns:
        The settings, and where each one came from.

    Raises:
        SettingsError: a value does not fit, a required setting is missing, or the file names an unknown one.
    """
    from_file = _read_file(file, {field.name for field in _fields(kind)}) if file else {}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for field in _fields(kind):
        raw, origin = _first(field.name, flags, environ, from_file, file)
        if origin == "default":
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                flag = "--" + field.name.replace("_", "-")
                raise SettingsError(
                    f"cannot start without {flag} ({environment_name(field.name)}): {field.metadata['help']}"
                )
        else:
            values[field.name] = _convert(field.name, raw, typing.get_type_hints(kind)[field.name], origin)
        origins[field.name] = origin
    return kind(**values), origins


def show(settings: Any, origins: Mapping[str, str]) -> Iterator[Shown]:
    """Yield each setting with its value and origin; a secret's value is masked."""
    for field in _fields(type(settings)):
        value = getattr(settings, field.name)
        text = "******" if field.metadata["secret"] and value else _text(value)
        yield Shown(field.name, text, origins.get(field.name, "default"), field.metadata["help"])


def _fields(kind: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _first(
    name: str, flags: Mapping[str, Any], environ: Mapping[str, str], from_file: Mapping[str, Any], file: Path | None
) -> tuple[Any, str]:
    if flags.get(name) is not None:
        return flags[name], "flag"
    if environment_name(name) in environ:
        return environ[environment_name(name)], environment_name(name)
    if name in from_file:
        return from_file[name], str(file)
    return None, "default"


def _read_file(file: Path, known: set[str]) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot read the configuration file {file}: {error}") from error
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingsError(f"cannot use {name!r} in {file}: there is no such setting{hint}")
    return values


def _convert(name: str, raw: Any, kind: Any, origin: str) -> Any:
    if isinstance(raw, str):
        raw = _split(name, raw, kind)
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"cannot use {raw!r} from {origin} for {name}: {error}") from error


def _split(name: str, raw: str, kind: Any) -> Any:
    """Turn `a=1,b=2` into a dict, `a,b` into a list and an empty string into None where the setting may be absent."""
    origin = typing.get_origin(kind)
    parts = [part.strip() for part in raw.split(",") if part.strip()]
    if origin is dict:
        if bad := [part for part in parts if "=" not in part]:
            raise SettingsError(f"cannot use {bad[0]!r} for {name}: write key=value, separated by commas")
        return {key.strip(): value.strip() for key, value in (part.split("=", 1) for part in parts)}
    if origin in (tuple, list):
        return parts
    if isinstance(kind, types.UnionType) and not raw:
        return None
    return raw


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return ",".join(str(item) for item in value)
    return "" if value is None else str(value)
