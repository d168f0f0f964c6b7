"""The door for orders and stops: what is new is taken or refused, what was here before is answered."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

from fleethand_common.instance_errors import InstanceErrorCode
from fleethand_common.messages import ExecutionOrder, Finished, Refusal
from fleethand_common.signing import Kind
from fleethand_worker.execution import Execution
from fleethand_worker.executor import Executor
from fleethand_worker.janitor import Janitor
from fleethand_worker.journal import Entry, Journal, Journaled
from fleethand_worker.listeners import NOBODY, Listener
from fleethand_worker.orders import Unreadable, read_execute, read_stop
from fleethand_worker.outcomes import Outcomes
from fleethand_worker.refusals import Refusals
from fleethand_worker.trust import Distrusted, Trust

logger = logging.getLogger(__name__)

R = TypeVar("R")

REMEMBERED = 1000
"""Outcomes of executions that no journal took, kept so that a second copy of an order is not run."""


class Admission:
    """Decides on each order once."""

    def __init__(
        self,
        *,
        trust: Trust,
        refusals: Refusals,
        executor: Executor,
        journal: Journal,
        janitor: Janitor,
        outcomes: Outcomes,
    ) -> None:
        self._trust = trust
        self._refusals = refusals
        self._executor = executor
        self._journal = journal
        self._janitor = janitor
        self._outcomes = outcomes
        self._unjournaled: OrderedDict[str, Finished] = OrderedDict()

    def execute(
        self, body: bytes | str, headers: Mapping[str, object], *, attempt: int, task_id: str, listener: Listener
    ) -> None:
        """Take an order.

        Raises:
            Distrusted: it is not to be followed, nor to be answered.
        """
        order = _read(read_execute, self._trust.open(Kind.EXECUTE, body, headers))
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
        if code is InstanceErrorCode.DELIVERY_TIMEOUT:
            self._refusals.tell(Refusal.EXPIRED, "its time to be started is over", order.invocation_id)
        entry = (
            None if self._janitor.is_over(order.deliver_before_ms) else self._bury(finished, order.deliver_before_ms)
        )
        self._executor.say(entry, finished, listener)

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

    def stop(self, body: bytes | str, headers: Mapping[str, object]) -> None:
        """Take a stop: end what runs, forget what waits, and never start what has yet to come.

        Raises:
            Distrusted: it is not to be followed.
        """
        order = _read(read_stop, self._trust.open(Kind.STOP, body, headers))
        if isinstance(order, Unreadable):
            raise Distrusted(Refusal.UNREADABLE, str(order.error), order.invocation_id)
        if self._executor.stop(order.invocation_id) or self._was_seen(order.invocation_id, NOBODY):
            return
        finished = self._outcomes.cancelled(order.invocation_id)
        self._executor.say(self._bury(finished, order.deliver_before_ms), finished, NOBODY)


def _read(read: Callable[[bytes], R], message: bytes) -> R:
    try:
        return read(message)
    except ValueError as error:
        raise Distrusted(Refusal.UNREADABLE, f"well signed, but {error}") from None
