"""The process that starts the stack, starts again what dies, and stops it in order when it is told to end."""

import argparse
import logging
import os
import select
import signal
import sys
import time
from pathlib import Path

from fleethand_common.clock import elapsed_s
from fleethand_common.errors import FleethandError
from fleethand_dispatcher.stack import processes, server, shutdown
from fleethand_dispatcher.stack.components import Component, Plan, other_components, server_component, worker_names
from fleethand_dispatcher.stack.data_dir import ComponentState, DataDir, StackState
from fleethand_dispatcher.stack.processes import Identity
from fleethand_dispatcher.stack.provisioning import provision_workers
from fleethand_dispatcher.stack.users import make_users

LOCK = "keeper"
_BACK_OFF_FIRST_S = 0.5
_BACK_OFF_MAX_S = 30.0
_STABLE_S = 60.0
"""A component that lived as long as this is started again as if for the first time."""
_SERVER_START_S = 60.0

logger = logging.getLogger(__name__)


class Kept:
    """One component and the process that it is now."""

    def __init__(self, component: Component, data: DataDir) -> None:
        self.component = component
        self._data = data
        self._process: processes.Started | None = None
        self._identity: Identity | None = None
        self._failures = 0
        self._restarts = 0
        self._exit_code: int | None = None
        self._due_s = 0.0
        self._started_s = 0.0

    def tend(self) -> bool:
        """Notice an end, start what is due; tells whether anything changed."""
        if self._process is not None:
            return self._process.poll() is not None and self._ended(self._process.returncode)
        if elapsed_s() < self._due_s:
            return False
        self._start()
        return True

    def wait_s(self) -> float | None:
        """Return the seconds until the next start is due; None while it runs."""
        return None if self._process is not None else max(0.0, self._due_s - elapsed_s())

    def state(self) -> ComponentState:
        """Return what `status` shows."""
        running = self._process is not None
        return ComponentState(
            name=self.component.name,
            role=self.component.role,
            state="running" if running else "restarting",
            process=self._identity if running else None,
            restarts=self._restarts,
            exit_code=self._exit_code,
        )

    def _start(self) -> None:
        log = self._data.log(self.component.name)
        self._process = processes.start(
            self.component.argv, environ=self.component.environ, log=log, cwd=self._data.path
        )
        self._identity = Identity.of(self._process.pid)
        self._started_s = elapsed_s()
        logger.info("started %s, pid %s", self.component.name, self._process.pid)

    def _ended(self, exit_code: int) -> bool:
        self._failures = 0 if elapsed_s() - self._started_s > _STABLE_S else self._failures
        delay_s = min(_BACK_OFF_FIRST_S * 2**self._failures, _BACK_OFF_MAX_S)
        self._failures += 1
        self._restarts += 1
        self._exit_code = exit_code
        self._process = None
        self._due_s = elapsed_s() + delay_s
        logger.warning("%s ended with %s; starting it again in %.1f s", self.component.name, exit_code, delay_s)
        return True


class Keeper:
    """Keeps one stack until it is told to end."""

    def __init__(self, data: DataDir, plan: Plan) -> None:
        self._data = data
        self._plan = plan
        self._kept: list[Kept] = []
        self._port = 0
        self._ending = False
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> None:
        """Start all, keep all, and stop all in order on TERM or INT."""
        self._listen()
        component, self._port = server_component(self._data)
        self._kept = [Kept(component, self._data)]
        self._data.write_state(self._state())
        try:
            if self._serving():
                names = worker_names(self._plan.workers)
                urls = make_users(self._data, names, self._port)
                provision_workers(self._data, names, self._port, urls)
                self._kept += [Kept(other, self._data) for other in other_components(self._data, self._plan, urls)]
            while not self._ending:
                self._tend()
                self._sleep()
        finally:
            shutdown.stop_all(self._data, self._state())

    def _serving(self) -> bool:
        """Wait until the server serves; False if we were told to end before."""
        until_s = elapsed_s() + _SERVER_START_S
        while not self._ending and not server.answers(self._port, self._data.password()):
            if elapsed_s() > until_s:
                raise FleethandError(f"cannot use the embedded server: no answer in {_SERVER_START_S:.0f} s")
            self._tend()
            time.sleep(0.02)
        return not self._ending

    def _tend(self) -> None:
        for kept in self._kept:
            if kept.tend():
                self._data.write_state(self._state())

    def _state(self) -> StackState:
        port = self._plan.dashboard_port
        return StackState(
            keeper=Identity.of(os.getpid()),
            server=f"redis://{server.HOST}:{self._port}/0",
            dashboard_url=f"http://{server.HOST}:{port}/" if port is not None else None,
            workers=self._plan.workers,
            components=tuple(kept.state() for kept in self._kept),
        )

    def _listen(self) -> None:
        """Let a signal end a sleep at once: a child's end, and the word to end."""
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)

    def _end(self, *_: object) -> None:
        self._ending = True

    def _sleep(self) -> None:
        waits = [wait_s for kept in self._kept if (wait_s := kept.wait_s()) is not None]
        if not self._ending and select.select([self._wake_read], [], [], min(waits, default=None))[0]:
            os.read(self._wake_read, 4096)


def main() -> None:
    """Keep the stack of one data folder, as `fleethand up` starts it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--dashboard-port", type=int)
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    data = DataDir(flags.data)
    with data.locked(LOCK) as ours:
        if not ours:
            sys.exit(f"another keeper runs in {data.path}")
        try:
            Keeper(data, Plan(workers=flags.workers, dashboard_port=flags.dashboard_port)).run()
        except FleethandError as error:
            logger.error("%s", error)
            sys.exit(1)


if __name__ == "__main__":
    main()
