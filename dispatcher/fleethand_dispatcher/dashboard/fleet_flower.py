"""Flower, changed where it was made for a handful of workers: it asks the fleet nothing and keeps bounded state."""

import asyncio
import logging
import time
from typing import Any

from flower.app import Flower
from flower.events import Events, EventsState
from flower.views import BaseHandler
from tornado.escape import url_escape
from tornado.web import HTTPError, authenticated

from fleethand_dispatcher.dashboard import listening
from fleethand_dispatcher.dashboard.wall import cleaned

_RETRY_S = 1.0

logger = logging.getLogger(__name__)


class _NoMetrics:
    """Flower's metrics have a label per host and command name and forget neither; the fleet's own are elsewhere."""

    def observe_task(self, *_: object) -> None:
        """Count nothing."""

    def observe_worker(self, *_: object) -> None:
        """Count nothing."""


class _FleetState(EventsState):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.metrics = _NoMetrics()

    def event(self, event: dict[str, Any]) -> None:
        try:
            super().event(cleaned(event))
            if event["type"] == "task-failed":
                self._time(self.tasks[event["uuid"]])
        except (KeyError, TypeError, ValueError, AttributeError):
            logger.debug("an event that cannot be used", exc_info=True)
        if len(self.counter) > 2 * self.workers.limit:
            self._forget_counters()

    def _time(self, task: Any) -> None:
        """Celery says how long a task took only if it succeeded."""
        if task.runtime is None and task.started:
            task.runtime = max(0.0, task.failed - task.started)

    def _forget_counters(self) -> None:
        for name in [name for name in self.counter if name not in self.workers]:
            del self.counter[name]


class FleetEvents(Events):  # type: ignore[misc]
    """Receives events and wakes nobody: Flower's own receiver asks every worker for a heartbeat when it connects."""

    def __init__(self, capp: Any, io_loop: Any, *, workers: int, tasks: int) -> None:
        super().__init__(capp, io_loop, enable_events=False, max_tasks_in_memory=tasks, max_workers_in_memory=workers)
        self.state = _FleetState(max_tasks_in_memory=tasks, max_workers_in_memory=workers)
        listening.install()

    def run(self) -> None:
        """Receive for ever; a broken connection is made anew."""
        while True:
            try:
                with self.capp.connection_for_read() as connection:
                    receiver = listening.FleetReceiver(connection, handlers={"*": self.on_event}, app=self.capp)
                    receiver.capture(limit=None, timeout=None, wakeup=False)
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave a page that never changes
                logger.warning("cannot receive events: %s; trying again", error)
            time.sleep(_RETRY_S)


class _Host(BaseHandler):  # type: ignore[misc]
    """Flower's page of one worker asks that worker; ours shows what it executed."""

    @authenticated
    def get(self, name: str) -> None:
        self.redirect(f"{self.reverse_url('tasks')}?worker={url_escape(name)}")


class _Nothing(BaseHandler):  # type: ignore[misc]
    """Pages that Flower would show without a login."""

    def get(self) -> None:
        raise HTTPError(404)


class FleetFlower(Flower):  # type: ignore[misc]
    """Flower that sends nothing to the fleet."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_handlers(r".*", [(r"/worker/(.+)", _Host), (r"/metrics", _Nothing)])

    def update_workers(self, *_: object, **__: object) -> "asyncio.Future[None]":
        """Flower would ask all workers for their settings here, by a broadcast."""
        done: asyncio.Future[None] = self.io_loop.asyncio_loop.create_future()
        done.set_result(None)
        return done
