"""Stops a stack in order: workers, then what their commands left running, then the control plane, the server last."""

import logging
from collections.abc import Iterator

from fleethand_dispatcher.stack import processes
from fleethand_dispatcher.stack.components import STOP_ORDER
from fleethand_dispatcher.stack.data_dir import DataDir, StackState
from fleethand_dispatcher.stack.executions import supervisors
from fleethand_dispatcher.stack.processes import Identity

GRACE_S = 10.0
"""How long one step of the stop may take before it is forced."""
SERVER_GRACE_S = 30.0
"""The server writes its data to the disk."""
LONGEST_S = 4 * GRACE_S + SERVER_GRACE_S + 15
"""How long a keeper may take for all of it."""

logger = logging.getLogger(__name__)


def stop_all(data: DataDir, state: StackState) -> None:
    """End every process of the stack and of the commands on its workers, and record that nothing runs."""
    for step, found in _steps(data, state):
        if any(identity.alive() for identity in found):
            logger.info("stopping %s", step)
            processes.stop(found, grace_s=SERVER_GRACE_S if step == "server" else GRACE_S)
    data.forget_state()
    logger.info("stopped")


def _steps(data: DataDir, state: StackState) -> Iterator[tuple[str, list[Identity]]]:
    for roles in STOP_ORDER:
        yield ", ".join(roles), state.processes(*roles)
        if "worker" in roles:
            found = supervisors(data)
            started = processes.descendants(found)
            yield "commands", found
            yield "what commands started", started  # a supervisor has ended it, unless it was too slow
