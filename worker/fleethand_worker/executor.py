"""The executions of this host: which may run, which wait, and what becomes of each.

Knows no broker: orders come in as bytes, reports go out through the reporter, ends are noticed through the loop.
"""

import logging
import os
import select
import signal
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from fleethand_common.clock import Clock
from fleethand_common.errors import ExecutionError
from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.messages import Accepted, ExecutionOrder, Finished, Started
from fleethand_common.states import InstanceStatus
from fleethand_worker import linux, live, supervisor
from fleethand_worker.execution import Execution
from fleethand_worker.janitor import Janitor
from fleethand_worker.journal import Entry, Journal, Journaled
from fleethand_worker.listeners import Listener
from fleethand_worker.loop import Loop, Timer
from fleethand_worker.orders import Unreadable, read_execute, read_stop
from fleethand_worker.reporter import Reporter

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""How often to look after a supervisor whose end no descriptor tells."""
KILL_ROUNDS = 20
"""How often to look for processes that a dead supervisor left; what cannot be killed must not hold the loop up."""
REMEMBERED = 1000
"""Outcomes of executions that no journal took, kept so that a second copy of an order is not run."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """Who this host is and how much it does at a time."""

    instance_id: str
    name: str
    concurrency: int
    queue_limit: int


class Executor:
    """Takes orders and stops; runs at most so many, lets so many wait, refuses the rest."""

    def __init__(self, host: Host, journal: Journal, janitor: Janitor, reporter: Reporter, clock: Clock) -> None:
        self.host = host
        self.running: dict[str, Execution] = {}
        self.queue: OrderedDict[str, Execution] = OrderedDict()
        self.loop: Loop | None = None
        self._journal = journal
        self._janitor = janitor
        self._reporter = reporter
        self._clock = clock
        self._unjournaled: OrderedDict[str, Finished] = OrderedDict()
        self._children: set[int] = set()
        self._timer: Timer | None = None
        self._is_closed = False

    # --- orders -------------------------------------------------------------------------------------------------

    def execute(self, body: bytes | str, *, attempt: int, task_id: str, listener: Listener) -> None:
        """Take an order.

        Raises:
            ValueError: it is none, and does not say to whom an answer could go.
        """
        order = read_execute(body)
        if isinstance(order, Unreadable):
            self._say(None, self._unstarted(order.invocation_id, order.error), listener)
            return
        if self._was_seen(order.invocation_id, listener):
            return
        if refusal := self._refusal(order):
            self._refuse(order, refusal, listener)
            return
        try:
            entry = self._journal.claim(
                Journaled(
                    order=order,
                    attempt=attempt,
                    task_id=task_id,
                    accepted_at_ms=self._clock.now_ms(),
                    boot_id=self._journal.boot_id,
                )
            )
        except OSError as error:
            text = f"cannot write the execution into the journal: {error.strerror or error}"
            self._refuse(order, ExecutionError(InstanceErrorCode.EXECUTION_EXCEPTION, text), listener)
            return
        self._janitor.keep(entry, order.deliver_before_ms)
        self.admit(Execution(entry=entry, order=order, listener=listener))

    def now_ms(self) -> int:
        """Return the time by the clock that deadlines are measured with."""
        return self._clock.now_ms()

    def admit(self, execution: Execution) -> None:
        """Start an execution that is in the journal, or let it wait."""
        if len(self.running) < self.host.concurrency:
            self._start(execution)
            return
        self.queue[execution.invocation_id] = execution
        self._reporter.tell(self._accepted(execution))

    def _was_seen(self, invocation_id: str, listener: Listener) -> bool:
        """Answer an order that came before with how things stand; tell whether it did."""
        if execution := self.running.get(invocation_id) or self.queue.get(invocation_id):
            self._tell_state(execution)
            return True
        if finished := self._unjournaled.get(invocation_id):
            self._say(None, finished, listener)
            return True
        entry = self._journal.find(invocation_id)
        if entry is None:
            return False
        if finished := entry.result():
            self._say(entry, finished, listener)
        return True

    def _refusal(self, order: ExecutionOrder) -> ExecutionError | None:
        if self._clock.now_ms() > order.deliver_before_ms:
            return ExecutionError(InstanceErrorCode.DELIVERY_TIMEOUT)
        is_full = len(self.running) >= self.host.concurrency and len(self.queue) >= self.host.queue_limit
        if is_full or self._janitor.is_full or self._is_closed:
            return ExecutionError(InstanceErrorCode.TASK_CONCURRENCY_LIMIT)
        return None

    def _refuse(self, order: ExecutionOrder, error: ExecutionError, listener: Listener) -> None:
        finished = self._unstarted(order.invocation_id, error)
        logger.warning("event=refused invocation=%s code=%s", order.invocation_id, error.code)
        self._say(self._bury(finished, order.deliver_before_ms), finished, listener)

    def _bury(self, finished: Finished, deliver_before_ms: int) -> Entry | None:
        """Remember that an order is not to be run, on disk if that takes it, else in memory."""
        try:
            entry = self._journal.bury(finished)
        except OSError:
            self._unjournaled[finished.invocation_id] = finished
            if len(self._unjournaled) > REMEMBERED:
                self._unjournaled.popitem(last=False)
            return None
        self._janitor.keep(entry, deliver_before_ms)
        return entry

    # --- stops --------------------------------------------------------------------------------------------------

    def stop(self, body: bytes | str) -> None:
        """Take a stop: end what runs, forget what waits, and never start what has yet to come.

        Raises:
            ValueError: it is none.
        """
        order = read_stop(body)
        if isinstance(order, Unreadable):
            raise ValueError(str(order.error))  # noqa: TRY004 - whoever sent it, sent a wrong value
        invocation_id = order.invocation_id
        if execution := self.running.get(invocation_id):
            self.end(execution)
        elif execution := self.queue.pop(invocation_id, None):
            self.conclude(execution, self.cancelled(invocation_id))
        elif not self._was_seen(invocation_id, _NOBODY):
            finished = self.cancelled(invocation_id)
            self._say(self._bury(finished, order.deliver_before_ms), finished, _NOBODY)

    def end(self, execution: Execution) -> None:
        """Have the supervisor end its script."""
        execution.is_stopping = True
        execution.entry.mark("stop")
        logger.info("event=stopping invocation=%s", execution.invocation_id)
        if execution.is_own_child or execution.fd < 0:
            linux.send_signal(execution.pid, signal.SIGUSR1)
        else:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(execution.fd, signal.SIGUSR1)

    # --- running ------------------------------------------------------------------------------------------------

    def _start(self, execution: Execution) -> None:
        order = execution.order
        assignment = supervisor.Assignment(
            entry=execution.entry,
            order=order,
            instance_id=self.host.instance_id,
            instance_name=self.host.name,
            boot_id=self._journal.boot_id,
            clock=self._clock,
        )
        try:
            execution.pid, execution.fd = supervisor.launch(assignment)
        except OSError as error:
            text = f"cannot start a process: {error.strerror or error}"
            failure = ExecutionError(InstanceErrorCode.EXECUTION_EXCEPTION, text)
            self.conclude(execution, self._unstarted(order.invocation_id, failure))
            return
        execution.is_own_child = True
        self._children.add(execution.pid)
        logger.info("event=started invocation=%s pid=%d", order.invocation_id, execution.pid)
        self.watch(execution)
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

    def _register(self, execution: Execution) -> None:
        if self.loop is None:
            return
        if execution.fd >= 0:
            self.loop.add_reader(execution.fd, self._on_readable, execution)
        self._set_timer()

    def _set_timer(self) -> None:
        if self.loop is not None and self.running and self._timer is None:
            pollable = any(execution.fd < 0 for execution in self.running.values())
            self._timer = self.loop.call_later(POLL_S if pollable else live.INTERVAL_S, self._on_timer)

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
        if supervisor.STARTED in told:
            self._tell_state(execution)
        if supervisor.FINISHED in told or not told:
            self._finish(execution)

    def _look(self, execution: Execution) -> None:
        state = execution.entry.state()
        if state is None or linux.start_time(execution.pid) != state.start_time or execution.entry.result():
            self._finish(execution)

    def _finish(self, execution: Execution) -> None:
        finished = execution.entry.result()
        if finished is None:
            self.kill_rest(execution.invocation_id)
            finished = self.lost(execution, InstanceErrorCode.EXECUTION_INTERRUPTED)
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
            pids = linux.with_variable("FLEETHAND_INVOCATION_ID", invocation_id)
            if not [pid for pid in pids if linux.send_signal(pid, signal.SIGKILL)]:
                return

    def conclude(self, execution: Execution, finished: Finished) -> None:
        """Write an outcome down if its supervisor could not, and tell everyone."""
        entry: Entry | None = execution.entry
        if execution.entry.result() is None:
            try:
                execution.entry.write_result(finished)
            except OSError:
                entry = None
        self._say(entry, finished, execution.listener)

    def pump(self) -> None:
        """Start what waits, as far as there is room."""
        while self.queue and len(self.running) < self.host.concurrency and not self._is_closed:
            _, execution = self.queue.popitem(last=False)
            if self._clock.now_ms() <= execution.order.deliver_before_ms:
                self._start(execution)
                continue
            text = "The command waited for a free place until it was too late to start it."
            error = ExecutionError(InstanceErrorCode.TASK_CONCURRENCY_LIMIT, text)
            self.conclude(execution, self._unstarted(execution.invocation_id, error))

    def reap(self) -> None:
        """Bury supervisors that have ended."""
        for pid in list(self._children):
            try:
                gone, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                gone = pid
            if gone:
                self._children.discard(pid)
        if self._children and not self.running and self.loop is not None:
            self.loop.call_later(0.05, self.reap)

    def close(self) -> None:
        """Start nothing more; what runs goes on under its supervisors."""
        self._is_closed = True

    # --- reports ------------------------------------------------------------------------------------------------

    def announce(self) -> None:
        """Say how everything stands that has not ended."""
        for execution in [*self.running.values(), *self.queue.values()]:
            self._tell_state(execution)

    def _tell_state(self, execution: Execution) -> None:
        if execution.started_at_ms is None and (state := execution.entry.state()):
            execution.started_at_ms = state.started_at_ms
        if execution.started_at_ms is None:
            self._reporter.tell(self._accepted(execution))
            return
        self._reporter.tell(
            Started(
                instance_id=self.host.instance_id,
                invocation_id=execution.invocation_id,
                started_at_ms=execution.started_at_ms,
            )
        )

    def _send_live(self, execution: Execution) -> None:
        for chunk in live.next_chunks(execution, self.host.instance_id):
            if not self._reporter.tell(chunk):
                return
            execution.sent_bytes = chunk.offset + len(chunk.data.encode())

    def _accepted(self, execution: Execution) -> Accepted:
        return Accepted(
            instance_id=self.host.instance_id, invocation_id=execution.invocation_id, at_ms=self._clock.now_ms()
        )

    def _say(self, entry: Entry | None, finished: Finished, listener: Listener) -> None:
        logger.info(
            "event=ended invocation=%s status=%s exit_code=%s code=%s dropped=%d",
            finished.invocation_id, finished.status, finished.exit_code, finished.error_code or "-", finished.dropped,
        )  # fmt: skip
        self._reporter.outcome(entry, finished)
        listener.ended(finished)

    def cancelled(self, invocation_id: str) -> Finished:
        """Return the outcome of an execution that was stopped before it started."""
        return Finished(
            instance_id=self.host.instance_id,
            invocation_id=invocation_id,
            status=InstanceStatus.CANCELLED,
            finished_at_ms=self._clock.now_ms(),
        )

    def lost(self, execution: Execution, code: InstanceErrorCode) -> Finished:
        """Return the outcome of an execution whose supervisor did not live to tell it."""
        state = execution.entry.state()
        return Finished(
            instance_id=self.host.instance_id,
            invocation_id=execution.invocation_id,
            status=INSTANCE_ERRORS[code].status,
            started_at_ms=state.started_at_ms if state else None,
            finished_at_ms=self._clock.now_ms(),
            error_code=code,
            error_info=INSTANCE_ERRORS[code].info,
        )

    def _unstarted(self, invocation_id: str, error: ExecutionError) -> Finished:
        facts = INSTANCE_ERRORS[InstanceErrorCode(error.code)]
        return Finished(
            instance_id=self.host.instance_id,
            invocation_id=invocation_id,
            status=facts.status,
            finished_at_ms=self._clock.now_ms(),
            error_code=error.code,
            error_info=error.message or facts.info,
        )


class _Nobody:
    def started(self, pid: int) -> None:
        """Do nothing."""

    def ended(self, finished: Finished) -> None:
        """Do nothing."""


_NOBODY = _Nobody()
