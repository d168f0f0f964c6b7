"""The command line of a host: `fleethand-worker`. Reads arguments, prints, holds no logic."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleethand_common import __version__, settings
from fleethand_common.errors import FleethandError, SettingsError
from fleethand_worker import cli_register
from fleethand_worker.settings import WorkerSettings

EXAMPLE = """example:
  fleethand-worker start --instance-id web-1 --redis-url redis://control:6379/0 \\
      --state-dir /var/lib/fleethand/web-1 --tag role=web --tag site=berlin"""
USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code: 0 ended in good order, 1 cannot, 2 wrong usage or settings."""
    arguments = _parser().parse_args(argv)
    try:
        return cli_register.run(arguments) if arguments.action in cli_register.ACTIONS else _run(arguments)
    except FleethandError as error:
        print(f"fleethand-worker: {error}", file=sys.stderr)  # noqa: T201
        return USAGE_ERROR if isinstance(error, SettingsError) else 1


def _run(arguments: argparse.Namespace) -> int:
    flags = {name: value for name, value in vars(arguments).items() if name not in ("action", "config", "as_json")}
    flags["tags"] = _tags(flags.pop("tag", None))
    loaded, origins = settings.load(WorkerSettings, flags=flags, environ=os.environ, file=arguments.config)
    if arguments.action == "config":
        _show(loaded, origins, as_json=arguments.as_json)
        return 0
    from fleethand_worker import app  # noqa: PLC0415 - `config show` and `--help` need no Celery

    return app.run(loaded)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleethand-worker",
        description="Run commands on this host for a Fleethand control plane.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fleethand-worker {__version__}")
    actions = parser.add_subparsers(dest="action", required=True, metavar="{start,register,deregister,config}")
    start = actions.add_parser(
        "start",
        help="run the worker until SIGTERM",
        description="Run the worker until SIGTERM; commands that run then go on and are followed by the next start.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_settings(start)
    cli_register.add_parsers(actions)
    config = actions.add_parser("config", help="show the settings")
    show = config.add_subparsers(dest="what", required=True).add_parser(
        "show", help="print each setting, its value and where it came from"
    )
    show.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    _add_settings(show)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of settings")
    for field in dataclasses.fields(WorkerSettings):
        name = settings.environment_name(field.name)
        text = f"{field.metadata['help']} [{name}]".replace("%", "%%")
        if field.type is bool:
            flag = "--" + field.name.replace("_", "-")
            parser.add_argument(flag, action="store_true", default=None, dest=field.name, help=text)
        elif field.name == "tags":
            parser.add_argument("--tag", action="append", metavar="KEY=VALUE", help=f"a tag of this host [{name}]")
        else:
            parser.add_argument("--" + field.name.replace("_", "-"), dest=field.name, metavar="VALUE", help=text)


def _tags(given: list[str] | None) -> dict[str, str] | None:
    if given is None:
        return None
    for tag in given:
        if "=" not in tag:
            raise SystemExit(f"fleethand-worker: cannot use --tag {tag!r}: write key=value")
    return dict(tag.split("=", 1) for tag in given)


def _show(loaded: WorkerSettings, origins: dict[str, str], *, as_json: bool) -> None:
    rows: list[Any] = [row._asdict() for row in settings.show(loaded, origins)]
    if as_json:
        print(json.dumps(rows, indent=2))  # noqa: T201
        return
    for row in rows:
        print(f"{row['name']:22} {row['value']:40} {row['origin']}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
