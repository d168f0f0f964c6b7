"""Fleethand in ten seconds: three workers, one command on all of them, nothing left afterwards."""

import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from fleethand_dispatcher.stack import launch, processes, purge
from fleethand_dispatcher.stack.components import Plan
from fleethand_dispatcher.stack.data_dir import DataDir

SCRIPT = 'for step in 1 2 3; do echo "step $step of 3 on $(uname -s)"; sleep 0.4; done'


def demo(workers: int, say: Callable[[str], None]) -> int:
    """Start a stack in a temporary folder, run one command through the CLI, and clean up.

    Returns:
        The exit code of `fleethand run`.
    """
    folder = Path(tempfile.mkdtemp(prefix="fleethand-demo-"))
    data = DataDir(folder)
    try:
        say(f"$ fleethand up --data {folder} --workers {workers} --no-dashboard")
        summary = launch.up(data, Plan(workers=workers, dashboard_port=None), lambda _: None)
        say(f"the control plane and {', '.join(summary.workers)} are ready after {summary.seconds:.1f} s\n")
        arguments = ["run", "--data", str(folder), "--all", "--", SCRIPT]
        say(f"$ fleethand {shlex.join(arguments)}")
        return processes.run([*processes.program("fleethand"), *arguments], environ=_environment())
    finally:
        say("\n$ fleethand down --purge")
        launch.down(data)
        purge.purge(data)


def _environment() -> dict[str, str]:
    """A server that the caller's own shell is set up for must not get this command."""
    sys.stdout.flush()
    return {name: value for name, value in os.environ.items() if not name.startswith("FLEETHAND_")}
