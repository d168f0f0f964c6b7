"""The Celery pool of a host: no processes or threads of its own; an order becomes an execution under a supervisor."""

import os
import signal
from typing import Any

from celery.concurrency.base import BasePool

from fleethand_common.clock import elapsed_s
from fleethand_common.messages import ATTEMPT_HEADER, Finished
from fleethand_common.states import InstanceStatus
from fleethand_worker.executor import Executor
from fleethand_worker.listeners import summary
from fleethand_worker.trust import Distrusted


class ExecutionFailed(Exception):  # noqa: N818 - Flower shows the repr
    """How an execution ended that was no success; holds no output."""

    def __repr__(self) -> str:
        """Return what Flower shows, such as `Failed: exit code 3`."""
        return str(self)


class _Failure:
    """What Celery's requests want to know of an exception."""

    traceback = ""

    def __init__(self, text: str) -> None:
        self.exception = ExecutionFailed(text)


def result_text(finished: Finished) -> str:
    """Return what Flower shows as the result of a success."""
    return f'{{"exit": {finished.exit_code}}}'


class RequestListener:
    """Tells a Celery request how its execution goes."""

    def __init__(self, accept_callback: Any, callback: Any) -> None:
        self._accept = accept_callback
        self._callback = callback
        self._began_s = elapsed_s()

    def started(self, pid: int) -> None:
        """It runs."""
        self._began_s = elapsed_s()
        self._accept(pid, self._began_s)

    def ended(self, finished: Finished) -> None:
        """It is over."""
        runtime = elapsed_s() - self._began_s
        if finished.status is InstanceStatus.SUCCESS:
            self._callback((False, result_text(finished), runtime))
        else:
            self.refused(summary(finished), runtime)

    def refused(self, text: str, runtime: float = 0.0) -> None:
        """It failed, or was never taken."""
        self._callback((True, _Failure(text), runtime))


class EventListener:
    """Tells Flower how an execution goes that Celery knows nothing of, as a worker before this one took its order."""

    def __init__(self, app: Any, task_id: str) -> None:
        self._app = app
        self._task_id = task_id

    def started(self, _pid: int) -> None:
        """It runs."""
        self._app.send_event("task-started", uuid=self._task_id)

    def ended(self, finished: Finished) -> None:
        """It is over."""
        send = self._app.send_event
        runtime = (finished.finished_at_ms - (finished.started_at_ms or finished.finished_at_ms)) / 1000
        if finished.status is InstanceStatus.SUCCESS:
            send("task-succeeded", uuid=self._task_id, result=result_text(finished), runtime=runtime)
        else:
            send("task-failed", uuid=self._task_id, exception=summary(finished), traceback="")


class SupervisorPool(BasePool):  # type: ignore[misc]
    """Hands orders to the executor, and the event loop too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._executor: Executor = self.app.executor
        self._wakeup, writer = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(writer, False)
        # A signal ends the loop's sleep only if something becomes readable.
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def register_with_event_loop(self, loop: Any) -> None:
        """Have the executor use the loop, which a reconnect has emptied."""
        loop.add_reader(self._wakeup, os.read, self._wakeup, 4096)
        self._executor.attach(loop)

    def on_apply(
        self, _target: Any, args: Any, _kwargs: Any, *, accept_callback: Any, callback: Any, **_options: Any
    ) -> None:
        """Take a request: its second argument is the task's id, the third its headers, the fourth its body."""
        _, task_id, headers, body, *_ = args
        listener = RequestListener(accept_callback, callback)
        attempt = headers.get(ATTEMPT_HEADER)
        try:
            self.app.admission.execute(
                body,
                headers,
                attempt=attempt if isinstance(attempt, int) else 1,
                task_id=str(task_id),
                listener=listener,
            )
        except Distrusted as error:
            self.app.refusals.tell(error.reason, error.detail, error.invocation_id)
            listener.refused(f"Refused: {error.reason}")

    def on_stop(self) -> None:
        """Start nothing more; what runs goes on."""
        self._executor.close()
