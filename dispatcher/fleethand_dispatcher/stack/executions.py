"""Finds what commands left running on the local workers; such a process outlives its worker on purpose.

The worker's journal has a folder per execution. Its `state.json` names the supervisor, which holds a lock on the file
while it lives.
"""

import fcntl
import json
from pathlib import Path

from fleethand_dispatcher.stack.data_dir import DataDir
from fleethand_dispatcher.stack.processes import Identity


def supervisors(data: DataDir) -> list[Identity]:
    """Return the supervisors that run for local workers of *data*."""
    found = [_supervisor(file) for file in data.workers.glob("*/executions/*/state.json")]
    return [identity for identity in found if identity is not None]


def _supervisor(state: Path) -> Identity | None:
    try:
        with state.open("rb") as file:
            if not _locked(file.fileno()):
                return None
            return Identity.of(int(json.load(file)["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it ends just now, or has not come so far


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
