"""The door for orders and stops: what is new is taken or refused, what was here before is answered."""

import logging
from collections import OrderedDict

from fleethand_common.instance_errors import InstanceErrorCode
from fleethand_common.messages import ExecutionOrder, Finished
from fleethand_worker.execution import Execution
from fleethand_worker.executor import Executor
from fleethand_worker.janitor import Janitor
from fleethand_worker.journal import Entry, Journal, Journaled
from fleethand_worker.listeners import NOBODY, Listener
from fleethand_worker.orders import Unreadable, read_execute, read_stop
from fleethand_worker.outcomes import Outcomes

logger = logging.getLogger(__name__)

REMEMBERED = 1000
"""Outcomes of executions that no journal took, kept so that a second copy of an order is not run."""


class Admission:
    """Decides on each order once."""

    def __init__(self, executor: Executor, journal: Journal, janitor: Janitor, outcomes: Outcomes) -> None:
        self._executor = executor
        self._journal = journal
        self._janitor = janitor
        self._outcomes = outcomes
        self._unjournaled: OrderedDict[str, Finished] = OrderedDict()

    def execute(self, body: bytes | str, *, attempt: int, task_id: str, listener: Listener) -> None:
        """Take an order.

        Raises:
            ValueError: it is none, and does not say to whom an answer could go.
        """
        order = read_execute(body)
        if isinstance(order, Unreadable):
            finished = self._outcomes.refused(order.invocation_id, order.error.code, order.error.message)
            self._executor.say(None, finished, listener)
        elif self._was_seen(order.invocation_id, listener):
            logger.info("event=seen_before invocation=%s attempt=%d", order.invocation_id, attempt)
        elif code := self._refusal(order):
            self._refuse(order, listener, code)
        else:
            self._claim(order, attempt, task_id, listener)

    def _claim(self, order: ExecutionOrder, attempt: int, task_id: str, listener: Listener) -> None:
        journaled = Journaled(
            order=order,
            attempt=attempt,
            task_id=task_id,
            accepted_at_ms=self._outcomes.now_ms(),
            boot_id=self._journal.boot_id,
        )
        try:
            entry = self._journal.claim(journaled)
        except OSError as error:
            text = f"cannot write the execution into the journal: {error.strerror or error}"
            self._refuse(order, listener, InstanceErrorCode.EXECUTION_EXCEPTION, text)
            return
        self._janitor.keep(entry, order.deliver_before_ms)
        self._executor.admit(Execution(entry=entry, order=order, listener=listener))

    def _was_seen(self, invocation_id: str, listener: Listener) -> bool:
        """Answer an order that came before with how things stand; tell whether it did."""
        if execution := self._executor.find(invocation_id):
            self._executor.tell_state(execution)
            return True
        if finished := self._unjournaled.get(invocation_id):
            self._executor.say(None, finished, listener)
            return True
        entry = self._journal.find(invocation_id)
        if entry is None:
            return False
        if finished := entry.result():
            self._executor.say(entry, finished, listener)
        return True

    def _refusal(self, order: ExecutionOrder) -> InstanceErrorCode | None:
        if self._outcomes.now_ms() > order.deliver_before_ms:
            return InstanceErrorCode.DELIVERY_TIMEOUT
        if self._executor.is_full or self._janitor.is_full:
            return InstanceErrorCode.TASK_CONCURRENCY_LIMIT
        return None

    def _refuse(
        self, order: ExecutionOrder, listener: Listener, code: InstanceErrorCode, text: str | None = None
    ) -> None:
        logger.warning("event=refused invocation=%s code=%s", order.invocation_id, code)
        finished = self._outcomes.refused(order.invocation_id, code, text)
        self._executor.say(self._bury(finished, order.deliver_before_ms), finished, listener)

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

    def stop(self, body: bytes | str) -> None:
        """Take a stop: end what runs, forget what waits, and never start what has yet to come.

        Raises:
            ValueError: it is none.
        """
        order = read_stop(body)
        if isinstance(order, Unreadable):
            raise ValueError(str(order.error))
        if self._executor.stop(order.invocation_id) or self._was_seen(order.invocation_id, NOBODY):
            return
        finished = self._outcomes.cancelled(order.invocation_id)
        self._executor.say(self._bury(finished, order.deliver_before_ms), finished, NOBODY)
