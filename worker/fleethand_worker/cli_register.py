"""`fleethand-worker register` and `deregister`: reads arguments and prints; `registering` does it."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleethand_common import settings
from fleethand_common.errors import FleethandError
from fleethand_worker.settings import WorkerSettings
from fleethand_worker.state_dir import StateDir

ACTIONS = ("register", "deregister")
CODE_VARIABLE = "FLEETHAND_ACTIVATION_CODE"

REGISTER_EXAMPLE = f"""example:
  {CODE_VARIABLE}=a-… fleethand-worker register --url https://enrol.example.org:8443 \\
      --pin sha256:… --activation-id 4ECEEE12-56F1-4FBC-9AB1-890F1234ABCD"""
DEREGISTER_EXAMPLE = """example:
  fleethand-worker deregister"""


def add_parsers(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add both actions to the command line."""
    _add_register(actions)
    parser = _add(
        actions,
        "deregister",
        "end this host's enrolment and forget who it was",
        "End this host's enrolment: the control plane forgets it, and so does this host. Stop the worker first.",
        DEREGISTER_EXAMPLE,
    )
    parser.add_argument("--local", action="store_true", help="tell nobody; run `fleethand instance deregister` too")
    parser.add_argument("--keep-journal", action="store_true", help="leave what is known of past executions")


def _add_register(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _add(
        actions,
        "register",
        "enrol this host with an activation",
        "Enrol this host with an activation. Its keys are made here and never leave it. A registration that was cut off"
        " is ended by the same command.",
        REGISTER_EXAMPLE,
    )
    parser.add_argument("--url", required=True, help="the registration service, https://…")
    parser.add_argument("--pin", default="", metavar="sha256:HEX", help="its certificate, as its operator told you")
    parser.add_argument("--ca", default="", metavar="FILE", help="authorities to check it with, not the system's")
    parser.add_argument("--activation-id", default="", metavar="ID")
    parser.add_argument("--activation-code", metavar="CODE", help=f"shows in process lists; better {CODE_VARIABLE}")
    parser.add_argument("--activation-code-file", metavar="FILE", help="the code is in this file; - is stdin")
    parser.add_argument("--name", default="", help="name of this host; else the activation's prefix and a number")
    parser.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE", help="a tag of this host; repeat")
    parser.add_argument("--machine-id", default="", metavar="ID", help="instead of the one that the system has")
    parser.add_argument(
        "--force", action="store_true", help="give up the identity that is here; be the instance that this machine was"
    )


def _add(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, text: str, example: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name, help=summary, description=text, epilog=example, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state-dir", metavar="DIR", help="folder of the identity; as root /var/lib/fleethand")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of settings")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Register or deregister; return the exit code: 0 done, 1 not.

    Raises:
        SettingsError: a setting cannot be used.
    """
    flags = {"state_dir": arguments.state_dir}
    loaded, _ = settings.load(WorkerSettings, flags=flags, environ=os.environ, file=arguments.config)
    folder = Path(loaded.state_path())
    try:
        held = StateDir(folder)
        try:
            return _register(folder, arguments) if arguments.action == "register" else _deregister(folder, arguments)
        finally:
            held.close()
    except (FleethandError, OSError) as error:
        code = f" ({error.code})" if isinstance(error, FleethandError) else ""
        print(f"{arguments.action} failed: {error}{code}", file=sys.stderr)  # noqa: T201
        return 1


def _register(folder: Path, arguments: argparse.Namespace) -> int:
    from fleethand_worker.registering import Wish, register  # noqa: PLC0415 - `start` needs no HTTP

    wish = Wish(
        url=arguments.url,
        pin=arguments.pin,
        ca=arguments.ca and str(Path(arguments.ca).absolute()),
        activation_id=arguments.activation_id,
        activation_code=_code(vars(arguments), os.environ),
        name=arguments.name,
        tags=dict(_pair(text) for text in arguments.tag),
        machine_id=arguments.machine_id,
        force=arguments.force,
    )
    credentials = register(folder, wish)
    print(f"register ok\ninstance id: {credentials.instance_id}")  # noqa: T201
    return 0


def _deregister(folder: Path, arguments: argparse.Namespace) -> int:
    from fleethand_worker.registering import deregister  # noqa: PLC0415 - `start` needs no HTTP

    instance_id = deregister(folder, only_here=arguments.local, keep_journal=arguments.keep_journal)
    print(f"deregister ok\ninstance id: {instance_id}")  # noqa: T201
    return 0


def _code(given: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    if file := given["activation_code_file"]:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    else:
        text = given["activation_code"] or environ.get(CODE_VARIABLE, "")
    return text.strip()


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SystemExit(f"fleethand-worker: cannot use --tag {text!r}: write key=value")
    return key, value
