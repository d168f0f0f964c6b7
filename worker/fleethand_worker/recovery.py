"""What a starting worker finds in its journal: supervisors to follow, outcomes to send, orders to go on with."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress

from fleethand_common.clock import Clock, elapsed_s
from fleethand_common.instance_errors import InstanceErrorCode
from fleethand_worker import linux
from fleethand_worker.execution import Execution
from fleethand_worker.executor import Executor
from fleethand_worker.janitor import UNKNOWN_MS, Janitor
from fleethand_worker.journal import Entry, Journal
from fleethand_worker.listeners import Listener
from fleethand_worker.outcomes import Outcomes
from fleethand_worker.reporter import Reporter

logger = logging.getLogger(__name__)

STATE_WAIT_S = 2.0
"""How long a supervisor that was just forked is given to say which process it is."""

ListenerFor = Callable[[str], Listener]


def recover(
    *,
    journal: Journal,
    executor: Executor,
    outcomes: Outcomes,
    reporter: Reporter,
    janitor: Janitor,
    clock: Clock,
    listener_for: ListenerFor,
) -> None:
    """Take up everything that the journal holds, the oldest first."""
    for invocation_id in journal.lost_with_power():
        code = InstanceErrorCode.INSTANCE_RESTARTED
        with suppress(OSError):
            janitor.keep(journal.bury(outcomes.refused(invocation_id, code)), outcomes.now_ms() + UNKNOWN_MS)
    for entry in list(journal.entries()):
        journaled = entry.journaled()
        if journaled is not None:
            clock.raise_floor(journaled.order.created_at_ms)
        if entry.has_result():
            until_ms = journaled.order.deliver_before_ms if journaled else outcomes.now_ms() + UNKNOWN_MS
            janitor.keep(entry, until_ms)
            if not entry.is_marked("reported"):
                reporter.outcome(entry)
        elif journaled is None:
            # The worker died while it wrote the order down, so nothing was started.
            journal.remove(entry)
        else:
            janitor.keep(entry, journaled.order.deliver_before_ms)
            execution = Execution(entry=entry, order=journaled.order, listener=listener_for(journaled.task_id))
            _take_up(execution, journaled.boot_id == journal.boot_id, executor, outcomes)


def _take_up(execution: Execution, is_same_boot: bool, executor: Executor, outcomes: Outcomes) -> None:
    entry = execution.entry
    lock = entry.lock()
    if lock is None:
        _follow(execution, executor, outcomes)
        return
    os.close(lock)
    if finished := entry.result():  # it ended between the two looks
        executor.conclude(execution, finished)
    elif not is_same_boot:
        # Whether it was started, only a file could tell that may not have reached the disk; so it is not started now.
        executor.conclude(execution, outcomes.lost(entry, InstanceErrorCode.INSTANCE_RESTARTED))
    elif entry.state() is not None:
        executor.kill_rest(execution.invocation_id)
        executor.conclude(execution, outcomes.lost(entry, InstanceErrorCode.CLIENT_RESTARTED))
    elif entry.is_marked("stop"):
        executor.conclude(execution, outcomes.cancelled(execution.invocation_id))
    else:
        executor.queue[execution.invocation_id] = execution


def _follow(execution: Execution, executor: Executor, outcomes: Outcomes) -> None:
    """Watch a supervisor of the worker before."""
    state = execution.entry.state()
    until = elapsed_s() + STATE_WAIT_S
    while state is None and elapsed_s() < until:
        time.sleep(0.01)
        state = execution.entry.state()
    if state is None:
        executor.conclude(execution, outcomes.lost(execution.entry, InstanceErrorCode.CLIENT_RESTARTED))
        return
    execution.pid = state.pid
    execution.started_at_ms = state.started_at_ms
    execution.sent_bytes = _size(execution.entry)
    descriptor = linux.open_pidfd(state.pid)
    if descriptor is not None and linux.start_time(state.pid) != state.start_time:
        os.close(descriptor)
        descriptor = None
    execution.fd = -1 if descriptor is None else descriptor
    logger.info("event=followed invocation=%s pid=%d", execution.invocation_id, state.pid)
    executor.watch(execution)
    if execution.entry.is_marked("stop"):
        executor.end(execution)


def _size(entry: Entry) -> int:
    """Return how much of the output was there already; what of it was sent, nobody knows any more."""
    try:
        return (entry.path / "live").stat().st_size
    except OSError:
        return 0
