"""`fleethand up`, `down`, `status`, `demo` and `dashboard`: Fleethand on this machine."""

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleethand_common.errors import FleethandError
from fleethand_dispatcher.cli.session import DATA_VARIABLE, FleethandCommand, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher.stack.data_dir import DataDir
    from fleethand_dispatcher.stack.launch import Summary
    from fleethand_dispatcher.stack.status import StackStatus

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_data_option = click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=DATA_VARIABLE,
    help=f"The folder of the stack.  [env {DATA_VARIABLE}; default ~/.local/share/fleethand]",
)


def _folder(data: Path | None) -> "DataDir":
    if sys.platform == "win32":
        raise FleethandError("cannot run an embedded stack on Windows: use a server elsewhere with --redis-url")
    from fleethand_dispatcher.stack.data_dir import DataDir, default_data_dir  # noqa: PLC0415

    return DataDir(data or default_data_dir())


@click.command()
@_data_option
@click.option("--workers", type=click.IntRange(0, 1000), help="Local workers.  [default: 3]")
@click.option("--dashboard/--no-dashboard", default=True, help="Start Flower too.  [default: dashboard]")
@click.option("--dashboard-port", type=click.IntRange(1, 65535), help="Its port.  [default: 5555, or a free one]")
@click.option("--foreground", is_flag=True, help="Stay, and stop everything at the end, as a service manager wants it.")
@_json_option
def up(
    *,
    data: Path | None,
    workers: int | None,
    dashboard: bool,
    dashboard_port: int | None,
    foreground: bool,
    as_json: bool,
) -> None:
    """Start Fleethand on this machine: an embedded Valkey, the control plane and some workers.

    Returns when every part works. What is already there is used again: the data stay between `down` and `up`.
    """
    folder = _folder(data)
    from fleethand_dispatcher.stack import launch  # noqa: PLC0415
    from fleethand_dispatcher.stack.components import Plan  # noqa: PLC0415

    port = launch.pick_dashboard_port(dashboard_port) if dashboard and not _runs(folder) else None
    with _progress() as notify:
        summary = launch.up(folder, Plan(workers=3 if workers is None else workers, dashboard_port=port), notify)
    _print_summary(summary, as_json=as_json)
    if workers is not None and len(summary.workers) != workers:
        raise FleethandError(
            f"cannot change a running stack: it has {len(summary.workers)} workers, not {workers};"
            f" run `fleethand down --data {folder.path}` first"
        )
    if foreground and not summary.already_running:
        _stay(folder)


def _runs(folder: "DataDir") -> bool:
    state = folder.read_state() if folder.path.is_dir() else None
    return state is not None and state.alive()


def _print_summary(summary: "Summary", *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(summary)))
        return
    head = "already running" if summary.already_running else f"ready after {summary.seconds:.1f} s"
    click.echo(f"Fleethand is {head} in {summary.data}")
    click.echo(f"  server     {summary.redis_url} (the password is in the data folder)")
    click.echo(f"  workers    {', '.join(summary.workers) or 'none'}")
    click.echo(f"  dashboard  {summary.dashboard_url or 'none'}")
    click.echo(f"Try:  fleethand run --data {summary.data} --all -- hostname")


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show on stderr what is waited for: one line that changes on a terminal, else a line for each thing."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(stderr=True)
    said: set[str] = set()

    def tell(text: str) -> None:
        what = text.split(",", maxsplit=1)[0]
        if what not in said:
            console.print(f"waiting for {what}", highlight=False)
        said.add(what)

    if not console.is_terminal:
        yield tell
        return
    with console.status("starting") as status:
        yield lambda text: status.update(f"waiting for {text}")


def _stay(folder: "DataDir") -> None:
    """Wait until the stack ends; a signal to us ends it."""
    from fleethand_dispatcher.stack import launch  # noqa: PLC0415

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        while _runs(folder):
            time.sleep(0.5)
    except KeyboardInterrupt:
        launch.down(folder)
        return
    launch.down(folder)
    raise FleethandError(f"cannot go on: the keeper ended; see {folder.log('keeper')}")


@click.command()
@_data_option
@click.option("--purge", is_flag=True, help="Delete the data too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def down(*, data: Path | None, purge: bool, yes: bool) -> None:
    """Stop what `up` started on this machine, and what its commands left running; the data stay."""
    folder = _folder(data)
    from fleethand_dispatcher.stack import launch  # noqa: PLC0415
    from fleethand_dispatcher.stack.purge import purge as delete  # noqa: PLC0415

    if purge and not yes:
        click.confirm(f"Stop what runs in {folder.path} and delete its data?", abort=True, err=True)
    click.echo(f"stopped what ran in {folder.path}" if launch.down(folder) else f"nothing runs in {folder.path}")
    if purge and folder.was_used():
        delete(folder)
        click.echo(f"deleted the data in {folder.path}")


@click.command()
@_data_option
@_json_option
def status(*, data: Path | None, as_json: bool) -> None:
    """Show what runs on this machine: each part, the instances, and what waits."""
    folder = _folder(data)
    from fleethand_dispatcher.stack.status import look  # noqa: PLC0415

    found = look(folder)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        _print_status(found)
    if found.components and not found.running:
        raise FleethandError(f"the keeper is gone; run `fleethand up` or `fleethand down` with --data {found.data}")


def _print_status(found: "StackStatus") -> None:
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    if not found.components:
        click.echo(f"nothing runs in {found.data}")
        return
    table = Table("part", "state", "pid", "uptime", "restarts", box=box.SIMPLE_HEAD)
    for part in found.components:
        uptime = "" if part.uptime_s is None else f"{part.uptime_s:.0f} s"
        table.add_row(part.name, part.state, str(part.pid or ""), uptime, str(part.restarts))
    Console().print(table)
    click.echo(f"server     {found.redis_url}")
    click.echo(f"dashboard  {found.dashboard_url or 'none'}")
    if found.instances_online is None:
        click.echo("the server does not answer")
        return
    click.echo(f"instances  {found.instances_online} of {found.instances_known} online")
    click.echo(f"waiting    {found.orders_open} orders, {found.reports_waiting} reports")


@click.command()
@click.option("--workers", type=click.IntRange(1, 50), default=3, show_default=True, help="Local workers.")
def demo(*, workers: int) -> None:
    """Start a stack in a temporary folder, run one command on all its workers, and clean up."""
    _folder(None)
    from fleethand_dispatcher.stack.demo import demo as run_demo  # noqa: PLC0415

    code = run_demo(workers, click.echo)
    if code:
        click.get_current_context().exit(code)


@click.command(cls=FleethandCommand)
@click.option("--address", metavar="IP", help="Where to listen.  [env FLEETHAND_DASHBOARD_ADDRESS; default 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Its port.  [env FLEETHAND_DASHBOARD_PORT; default 5555]")
@click.option("--user", help="User to ask for.  [env FLEETHAND_DASHBOARD_USER]")
@click.option("--password", help="Better given by the environment.  [env FLEETHAND_DASHBOARD_PASSWORD]")
@pass_session
def dashboard(
    session: Session, /, *, address: str | None, port: int | None, user: str | None, password: str | None
) -> None:
    """Show the fleet in a browser: Flower, read-only.

    Each host is a worker, each execution a task. Beyond this machine it asks for a user and a password.

    \b
    Example:
      fleethand dashboard --redis-url redis://10.0.0.5:6379/0
    """
    from fleethand_dispatcher.dashboard import serve  # noqa: PLC0415

    flags = {
        "redis_url": session.settings()[0].redis_url,
        "dashboard_address": address,
        "dashboard_port": port,
        "dashboard_user": user,
        "dashboard_password": password,
    }
    serve(flags, session.environ, session.config)


COMMANDS: list[click.Command] = [up, down, status, demo, dashboard]
