"""Which server a command talks to: the options that every command takes, before or after its name."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleethand_common.errors import SettingsError

if TYPE_CHECKING:
    from fleethand_dispatcher import Dispatcher
    from fleethand_dispatcher.settings import Settings

URL_VARIABLE = "FLEETHAND_REDIS_URL"
DATA_VARIABLE = "FLEETHAND_DATA"
KEY_VARIABLE = "FLEETHAND_API_KEY"
CONFIG_VARIABLE = "FLEETHAND_CONFIG"


def _connect(settings: "Settings") -> "Dispatcher":
    from fleethand_dispatcher import Dispatcher  # noqa: PLC0415

    return Dispatcher(settings=settings)


@dataclass
class Session:
    """What the command line said about the server, and the way to it."""

    redis_url: str | None = None
    data: Path | None = None
    config: Path | None = None
    api_key: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    connect: "Callable[[Settings], Dispatcher]" = _connect

    def open(self) -> "Dispatcher":
        """Return a dispatcher to use in a `with` statement."""
        return self.connect(self.settings()[0])

    def settings(self) -> "tuple[Settings, dict[str, str]]":
        """Read the settings; find the server's URL.

        The first of these counts: `--redis-url`, `--data`, FLEETHAND_REDIS_URL, FLEETHAND_DATA, `redis_url` in the
        configuration file, the default data directory if its server runs.

        Raises:
            UsageError: none of them names a server, or both flags are given.
            SettingsError: a setting cannot be used, or no server runs in the data directory.
        """
        loaded, origins = self.load()
        if origins["redis_url"] == "default":
            raise click.UsageError(
                f"cannot tell which server to use: give --redis-url URL ({URL_VARIABLE}) for a Redis or Valkey server,"
                f" or --data DIR ({DATA_VARIABLE}) for the one that 'fleethand up --data DIR' runs."
            )
        return loaded, origins

    def load(self) -> "tuple[Settings, dict[str, str]]":
        """Read the settings as they are; the URL may be the declared default, which `settings` does not accept.

        Returns:
            The settings, and where each one comes from.

        Raises:
            UsageError: both flags are given, or the file with the API key cannot be read.
            SettingsError: a setting cannot be used, or no server runs in the data directory.
        """
        from fleethand_common.settings import load  # noqa: PLC0415
        from fleethand_dispatcher.settings import Settings  # noqa: PLC0415

        if self.redis_url is not None and self.data is not None:
            raise click.UsageError("--redis-url and --data name two servers; give one of them.")
        data, origin = self._data()
        found = _flags_of(data) if data else {"redis_url": self.redis_url}
        given = {"api_key": self._api_key()}
        loaded, origins = load(Settings, flags={**found, **given}, environ=self.environ, file=self._config())
        if data:
            origins |= dict.fromkeys(found, origin)
        elif origins["redis_url"] == "default" and _url_of_default():
            found = _flags_of(_default_data())
            loaded, _ = load(Settings, flags={**found, **given}, environ=self.environ, file=self._config())
            origins |= dict.fromkeys(found, f"{_default_data()} (running)")
        return loaded, origins

    def _data(self) -> tuple[Path | None, str]:
        if self.data is not None:
            return self.data, f"--data {self.data}"
        if self.redis_url is None and not self.environ.get(URL_VARIABLE) and (text := self.environ.get(DATA_VARIABLE)):
            return Path(text), f"{DATA_VARIABLE}={text}"
        return None, ""

    def _api_key(self) -> str | None:
        """Return the API key of the command line, or that of the file which it names."""
        if self.api_key is None or not self.api_key.startswith("@"):
            return self.api_key
        try:
            return Path(self.api_key[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"cannot read the API key: {error}.") from error

    def _config(self) -> Path | None:
        text = self.environ.get(CONFIG_VARIABLE)
        return self.config or (Path(text) if text else None)


def _flags_of(data: Path) -> dict[str, str | None]:
    """Return the settings that a stack knows better than anybody else."""
    urls: dict[str, str | None] = {"redis_url": _url_of(data), "users_redis_url": _url_of(data, admin=True)}
    return {**urls, "keys_dir": str(_keys_of(data))}


def _url_of(data: Path, *, admin: bool = False) -> str:
    from fleethand_dispatcher.stack.data_dir import resolve_redis_url  # noqa: PLC0415

    return resolve_redis_url(data, admin=admin)


def _keys_of(data: Path) -> Path:
    from fleethand_dispatcher.stack.data_dir import DataDir  # noqa: PLC0415

    return DataDir(data).keys


def _default_data() -> Path:
    from fleethand_dispatcher.stack.data_dir import default_data_dir  # noqa: PLC0415

    return default_data_dir()


def _url_of_default() -> str | None:
    try:
        return _url_of(_default_data())
    except (SettingsError, ImportError):
        return None


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None and param.name is not None:
        setattr(ctx.ensure_object(Session), param.name, value)


def _connection_options() -> list[click.Option]:
    folder = click.Path(file_okay=False, path_type=Path)
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    rows: list[tuple[str, str, Any, str]] = [
        ("--redis-url", "URL", str, f"The Redis or Valkey server.  [env {URL_VARIABLE}]"),
        ("--data", "DIR", folder, f"Or the data directory of 'fleethand up'.  [env {DATA_VARIABLE}]"),
        ("--config", "FILE", file, f"A TOML file of settings.  [env {CONFIG_VARIABLE}]"),
        ("--api-key", "KEY|@FILE", str, f"Act as the principal of this API key.  [env {KEY_VARIABLE}]"),
    ]
    return [
        click.Option([flag], metavar=metavar, type=kind, help=text, expose_value=False, callback=_remember)
        for flag, metavar, kind, text in rows
    ]


class _Connected(click.Command):
    """A command that takes the connection options and shows them under their own heading."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connection = _connection_options()
        self.params.extend(self._connection)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write our own options first, then those that every command has."""
        own = [param for param in self.get_params(ctx) if param not in self._connection]
        if rows := [row for param in own if (row := param.get_help_record(ctx)) and row[1]]:
            with formatter.section("Options"):
                formatter.write_dl(rows)
        with formatter.section("Server"):
            formatter.write_dl([row for param in self._connection if (row := param.get_help_record(ctx))])


class FleethandCommand(_Connected):
    """A subcommand."""


class FleethandGroup(_Connected, click.Group):
    """A group of subcommands, which are `FleethandCommand` unless they say otherwise."""

    command_class = FleethandCommand

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the subcommands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


pass_session = click.make_pass_decorator(Session, ensure=True)
