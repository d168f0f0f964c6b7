"""The executions that run and wait on this host, and what becomes of each.

Knows no broker: reports go out through the reporter, ends are noticed through the loop.
"""

import logging
import os
import select
import signal
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from fleethand_common.clock import Clock
from fleethand_common.instance_errors import InstanceErrorCode
from fleethand_common.messages import Finished
from fleethand_worker import linux, live, supervisor
from fleethand_worker.crew import Crew
from fleethand_worker.execution import Execution
from fleethand_worker.journal import Entry
from fleethand_worker.listeners import Listener
from fleethand_worker.loop import Loop, Timer
from fleethand_worker.outcomes import Outcomes
from fleethand_worker.reporter import Reporter

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""How often to look after a supervisor whose end no descriptor tells."""
REAP_S = 0.05
KILL_ROUNDS = 20
"""How often to look for processes that a dead supervisor left; what cannot be killed must not hold the loop up."""
FROZEN_TOO_LONG = "The fleet was frozen until it was too late to start the command."
WAITED_TOO_LONG = "The command waited for a free place until it was too late to start it."


@dataclass(frozen=True, kw_only=True)
class Host:
    """Who this host is and how much it does at a time."""

    instance_id: str
    name: str
    boot_id: str
    concurrency: int
    queue_limit: int
    linger_s: float


class Executor:
    """Runs at most so many executions and lets so many wait."""

    def __init__(self, host: Host, reporter: Reporter, outcomes: Outcomes, clock: Clock) -> None:
        self.host = host
        self.running: dict[str, Execution] = {}
        self.queue: OrderedDict[str, Execution] = OrderedDict()
        self.loop: Loop | None = None
        self._reporter = reporter
        self._outcomes = outcomes
        self._clock = clock
        self._crew = Crew(host.linger_s)
        self._timer: Timer | None = None
        self._is_closed = False
        self._frozen: str | None = None
        self._late_timer: Timer | None = None

    @property
    def has_room(self) -> bool:
        """Tell whether an execution may be started now."""
        return self._frozen is None and not self._is_closed and len(self.running) < self.host.concurrency

    @property
    def is_full(self) -> bool:
        """Tell whether there is no place left, neither to run nor to wait."""
        return self._is_closed or (not self.has_room and len(self.queue) >= self.host.queue_limit)

    def find(self, invocation_id: str) -> Execution | None:
        """Return an execution that has not ended."""
        return self.running.get(invocation_id) or self.queue.get(invocation_id)

    def admit(self, execution: Execution) -> None:
        """Start an execution that is in the journal, or let it wait."""
        if self.has_room:
            self._start(execution)
            return
        self.queue[execution.invocation_id] = execution
        self.tell_state(execution)
        self._drop_late()

    def set_frozen(self, is_frozen: bool, reason: str) -> None:
        """Start nothing until told otherwise, or go on with what waits; what runs goes on in any case."""
        self._frozen = reason if is_frozen else None
        self._drop_late()
        self.pump()

    def _drop_late(self) -> None:
        """While nothing may start, refuse what waits as soon as it is too late for it."""
        if self._late_timer is not None:
            self._late_timer.cancel()
            self._late_timer = None
        if self._frozen is None or self.loop is None:
            return
        now_ms = self._clock.now_ms()
        for execution in list(self.queue.values()):
            if execution.order.deliver_before_ms < now_ms:
                del self.queue[execution.invocation_id]
                text = f"{FROZEN_TOO_LONG} {self._frozen}".strip()
                code = InstanceErrorCode.DELIVERY_TIMEOUT
                self.conclude(execution, self._outcomes.refused(execution.invocation_id, code, text))
        if self.queue:
            next_ms = min(execution.order.deliver_before_ms for execution in self.queue.values())
            self._late_timer = self.loop.call_later((next_ms + 1 - now_ms) / 1000, self._drop_late)

    def stop(self, invocation_id: str) -> bool:
        """End an execution that runs, forget one that waits; tell whether there was one."""
        if execution := self.running.get(invocation_id):
            self.end(execution)
        elif execution := self.queue.pop(invocation_id, None):
            self.conclude(execution, self._outcomes.cancelled(invocation_id))
        else:
            return False
        return True

    def end(self, execution: Execution) -> None:
        """Have the supervisor end its script."""
        execution.entry.mark("stop")
        logger.info("event=stopping invocation=%s", execution.invocation_id)
        if execution.is_own_child or execution.fd < 0:
            linux.send_signal(execution.pid, signal.SIGUSR1)
        else:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(execution.fd, signal.SIGUSR1)

    def _start(self, execution: Execution) -> None:
        assignment = supervisor.Assignment(
            entry=execution.entry,
            order=execution.order,
            instance_id=self.host.instance_id,
            instance_name=self.host.name,
            boot_id=self.host.boot_id,
            clock=self._clock,
        )
        try:
            execution.pid, execution.fd = self._crew.launch(assignment)
        except OSError as error:
            text = f"cannot start a process: {error.strerror or error}"
            code = InstanceErrorCode.EXECUTION_EXCEPTION
            self.conclude(execution, self._outcomes.refused(execution.invocation_id, code, text))
            return
        execution.is_own_child = True
        logger.debug("event=started invocation=%s pid=%d", execution.invocation_id, execution.pid)
        self.watch(execution)
        with _at_own_risk():
            execution.listener.started(execution.pid)

    def watch(self, execution: Execution) -> None:
        """Take a place for an execution whose supervisor lives, and notice its end."""
        self.running[execution.invocation_id] = execution
        self._register(execution)

    def attach(self, loop: Loop) -> None:
        """Use this loop from now on; it has forgotten everything that was registered with it."""
        self.loop = loop
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for execution in list(self.running.values()):
            self._register(execution)
        self._late_timer = None
        self._drop_late()

    def _register(self, execution: Execution) -> None:
        if self.loop is None:
            return
        if execution.fd >= 0:
            self.loop.add_reader(execution.fd, self._on_readable, execution)
        self._set_timer()

    def _set_timer(self) -> None:
        if self.loop is not None and self.running and self._timer is None:
            is_blind = any(execution.fd < 0 for execution in self.running.values())
            self._timer = self.loop.call_later(POLL_S if is_blind else live.INTERVAL_S, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for execution in list(self.running.values()):
            if execution.fd < 0:
                self._look(execution)
            else:
                self._send_live(execution)
        self.reap()
        self._set_timer()

    def poll(self) -> None:
        """Take what has happened meanwhile; for when nobody runs the loop."""
        poller = select.poll()
        by_fd = {execution.fd: execution for execution in self.running.values() if execution.fd >= 0}
        for descriptor in by_fd:
            poller.register(descriptor, select.POLLIN)
        for descriptor, _ in poller.poll(0):
            self._on_readable(by_fd[descriptor])
        for execution in [execution for execution in self.running.values() if execution.fd < 0]:
            self._look(execution)
        self.reap()

    def _on_readable(self, execution: Execution) -> None:
        """Read what a supervisor tells; a descriptor of a process tells only that it ended."""
        if self.running.get(execution.invocation_id) is not execution:
            return
        told = os.read(execution.fd, 16) if execution.is_own_child else b""
        if supervisor.STARTED in told and supervisor.FINISHED not in told:  # the outcome tells the start, too
            self.tell_state(execution)
        if supervisor.FINISHED in told or not told:
            self._crew.release(execution.pid, done=supervisor.FINISHED in told)
            self._finish(execution)

    def _look(self, execution: Execution) -> None:
        state = execution.entry.state()
        if state is None or linux.start_time(execution.pid) != state.start_time or execution.entry.has_result():
            self._finish(execution)

    def _finish(self, execution: Execution) -> None:
        finished = execution.entry.result()
        if finished is None:
            self.kill_rest(execution.invocation_id)
            finished = self._outcomes.lost(execution.entry, InstanceErrorCode.EXECUTION_INTERRUPTED)
        del self.running[execution.invocation_id]
        if self.loop is not None and execution.fd >= 0:
            self.loop.remove(execution.fd)
        execution.close()
        self.conclude(execution, finished)
        self.reap()
        self.pump()

    def kill_rest(self, invocation_id: str) -> None:
        """Kill what a dead supervisor left behind; its processes are known by a variable that they inherit."""
        for _ in range(KILL_ROUNDS):
            # The instance too: there may be more than one worker on this machine.
            pids = linux.with_variables(
                FLEETHAND_INVOCATION_ID=invocation_id, FLEETHAND_INSTANCE_ID=self.host.instance_id
            )
            if not [pid for pid in pids if linux.send_signal(pid, signal.SIGKILL)]:
                return

    def conclude(self, execution: Execution, finished: Finished) -> None:
        """Write an outcome down if its supervisor has not, and tell everyone."""
        entry: Entry | None = execution.entry
        if not execution.entry.has_result():
            try:
                execution.entry.write_result(finished)
            except OSError:
                entry = None
        self.say(entry, finished, execution.listener)

    def pump(self) -> None:
        """Start what waits, as far as there is room."""
        while self.queue and self.has_room:
            _, execution = self.queue.popitem(last=False)
            if self._clock.now_ms() <= execution.order.deliver_before_ms:
                self._start(execution)
            else:
                code = InstanceErrorCode.TASK_CONCURRENCY_LIMIT
                self.conclude(execution, self._outcomes.refused(execution.invocation_id, code, WAITED_TOO_LONG))

    def reap(self) -> None:
        """Bury supervisors that have ended."""
        if self._crew.bury() and not self.running and self.loop is not None:
            self.loop.call_later(REAP_S, self.reap)

    def close(self) -> None:
        """Start nothing more; what runs goes on under its supervisors."""
        self._is_closed = True
        self._crew.dismiss_all()

    def announce(self) -> None:
        """Say how everything stands that has not ended."""
        for execution in [*self.running.values(), *self.queue.values()]:
            self.tell_state(execution)

    def tell_state(self, execution: Execution) -> None:
        """Say that an execution waits, or since when it runs."""
        if execution.started_at_ms is None and (state := execution.entry.state()):
            execution.started_at_ms = state.started_at_ms
        invocation_id, started_at_ms = execution.invocation_id, execution.started_at_ms
        if started_at_ms is None:
            self._reporter.tell(self._outcomes.accepted(invocation_id))
        else:
            self._reporter.tell(self._outcomes.started(invocation_id, started_at_ms))

    def _send_live(self, execution: Execution) -> None:
        for chunk in live.next_chunks(execution, self.host.instance_id):
            if not self._reporter.tell(chunk):
                return
            execution.sent_bytes = chunk.offset + len(chunk.data.encode())

    def say(self, entry: Entry | None, finished: Finished, listener: Listener) -> None:
        """Tell everyone how an execution ended; *entry* is where that is written, if it is."""
        logger.info(
            "event=ended invocation=%s status=%s exit_code=%s code=%s dropped=%d",
            finished.invocation_id, finished.status, finished.exit_code, finished.error_code or "-", finished.dropped,
        )  # fmt: skip
        self._reporter.outcome(entry, finished)
        with _at_own_risk():
            listener.ended(finished)


@contextmanager
def _at_own_risk() -> Iterator[None]:
    """Let no listener end the worker: what is shown of an execution is not the execution."""
    try:
        yield
    except Exception:
        logger.exception("event=listener_failed")
