"""Starts a stack and waits until it works; if it does not come to work, nothing of it is left."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleethand_common.clock import elapsed_s
from fleethand_common.errors import FleethandError
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.stack import processes, server, shutdown
from fleethand_dispatcher.stack.components import Plan, worker_names
from fleethand_dispatcher.stack.data_dir import DataDir, StackState
from fleethand_dispatcher.stack.processes import Identity
from fleethand_dispatcher.stack.readiness import Probe, failing

START_S = 90.0
DASHBOARD_PORT = 5555
_POLL_S = 0.05
_TAIL_LINES = 20

Notify = Callable[[str], None]
"""Is told what is being waited for."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What `up` answers with."""

    data: str
    redis_url: str
    """Without the password."""
    dashboard_url: str | None
    workers: tuple[str, ...]
    keeper_pid: int
    seconds: float
    already_running: bool = False


def up(data: DataDir, plan: Plan, notify: Notify) -> Summary:
    """Start the stack of *data*, unless it runs.

    Raises:
        FleethandError: it did not come to work; it is stopped again, and the message says what failed.
    """
    server.binary()
    data.create()
    if not (data.keys / "vault.key").exists():
        Keyring.create(data.keys)
    began_s = elapsed_s()
    with data.locked("up") as ours:
        if not ours:
            raise FleethandError(f"cannot start in {data.path}: another `fleethand up` or `down` is at work there")
        state = data.read_state()
        if state is not None and state.alive():
            return _summary(data, state, 0.0, already=True)
        if state is not None:
            notify("the end of what a killed keeper left")
            shutdown.stop_all(data, state)
        return _start(data, plan, notify, began_s)


def _start(data: DataDir, plan: Plan, notify: Notify, began_s: float) -> Summary:
    keeper = processes.start(_keeper(data, plan), environ=os.environ, log=data.log("keeper"), cwd=data.path)
    try:
        state = _wait(data, keeper, notify)
    except BaseException:
        _undo(data, keeper)
        raise
    return _summary(data, state, elapsed_s() - began_s)


def _keeper(data: DataDir, plan: Plan) -> Sequence[str]:
    argv = [sys.executable, "-P", "-m", "fleethand_dispatcher.stack.keeper"]
    argv += ["--data", str(data.path), "--workers", str(plan.workers)]
    return argv if plan.dashboard_port is None else [*argv, "--dashboard-port", str(plan.dashboard_port)]


def _wait(data: DataDir, keeper: processes.Started, notify: Notify) -> StackState:
    probe = Probe(data)
    until_s = elapsed_s() + START_S
    try:
        while True:
            state = data.read_state()
            ready = probe.look(state) if state is not None else None
            if state is not None and ready is not None and ready.complete:
                return state
            waiting = ready.waiting_for() if ready is not None else "the keeper"
            _fail_if_hopeless(data, state, keeper, late=elapsed_s() > until_s, waiting=waiting)
            notify(waiting)
            time.sleep(_POLL_S)
    finally:
        probe.close()


def _fail_if_hopeless(
    data: DataDir, state: StackState | None, keeper: processes.Started, *, late: bool, waiting: str
) -> None:
    if keeper.poll() is not None:
        raise FleethandError(f"cannot start: the keeper ended with {keeper.returncode}\n{_tail(data.log('keeper'))}")
    if state is not None and (name := failing(state)):
        raise FleethandError(f"cannot start: {name} ends again and again\n{_tail(data.log(name))}")
    if late:
        raise FleethandError(
            f"cannot start: still waiting for {waiting} after {START_S:.0f} s\n{_tail(data.log('keeper'))}"
        )


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        lines = []
    return "\n".join([f"the end of {log}:", *(f"  {line}" for line in lines)])


def _undo(data: DataDir, keeper: processes.Started) -> None:
    processes.stop([Identity.of(keeper.pid)], grace_s=shutdown.LONGEST_S)
    if state := data.read_state():
        shutdown.stop_all(data, state)


def _summary(data: DataDir, state: StackState, seconds: float, *, already: bool = False) -> Summary:
    return Summary(
        data=str(data.path),
        redis_url=state.server,
        dashboard_url=state.dashboard_url,
        workers=tuple(worker_names(state.workers)),
        keeper_pid=state.keeper.pid,
        seconds=round(seconds, 2),
        already_running=already,
    )


def down(data: DataDir) -> bool:
    """Stop what runs in *data*, with or without a keeper that lives; the data stay.

    Returns:
        False if nothing ran.

    Raises:
        FleethandError: another program starts or stops it just now.
    """
    if not data.was_used():
        return False
    with data.locked("up") as ours:
        if not ours:
            raise FleethandError(f"cannot stop in {data.path}: another `fleethand up` or `down` is at work there")
        state = data.read_state()
        if state is None:
            return False
        processes.stop([state.keeper], grace_s=shutdown.LONGEST_S)
        if (left := data.read_state()) is not None:
            shutdown.stop_all(data, left)
        return True


def pick_dashboard_port(wanted: int | None) -> int:
    """Return the port for the dashboard: the one asked for, else the usual one, else a free one.

    Raises:
        FleethandError: something listens on the port that was asked for.
    """
    if wanted is None:
        return server.free_port(DASHBOARD_PORT)
    if server.free_port(wanted) != wanted:
        raise FleethandError(f"cannot start the dashboard on port {wanted}: something listens there already")
    return wanted
