"""The part of the Celery worker that listens: how it connects, what it does at each connection, what it refuses."""

import logging
import os
import random
import time
from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.connection import Connection
from celery.worker.consumer.consumer import Evloop
from celery.worker.consumer.tasks import Tasks
from celery.worker.state import SOFTWARE_INFO, active_requests, all_total_count, maybe_shutdown

from fleethand_common.clock import elapsed_s
from fleethand_common.messages import Refusal
from fleethand_common.tls import explained
from fleethand_worker.broker import ERRORS, REFUSALS

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 0.3
LONGEST_PAUSE_S = 30.0
STABLE_S = 10.0
"""A connection that lived this long was a good one: the next one may be made at once."""
NAP_S = 0.1
EX_DEREGISTERED = 3
"""The exit code of a worker whose host is not enrolled any more."""
EVENTS_KEPT = 1000
"""Events kept while there is no connection."""


class Line(bootsteps.StartStopStep):  # type: ignore[misc]
    """Reports and events go over the consumer's own second connection."""

    requires = (Connection,)

    def __init__(self, c: Any, **kwargs: Any) -> None:
        c.event_dispatcher = None
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        """Use the new connection."""
        channel = c.connection.default_channel
        c.app.line.up(channel)
        c.event_dispatcher = c.app.use_dispatcher(c, channel)

    def stop(self, c: Any) -> None:
        """Stop using the connection: it is lost, or the worker ends."""
        if c.blueprint.state == bootsteps.CLOSE and c.app.line.is_up:
            send_worker_event(c, "worker-offline")
            c.app.tell_events()
        if c.event_dispatcher is not None:
            c.event_dispatcher.close()
        c.app.line.down()


class Orders(Tasks):  # type: ignore[misc]
    """Celery's own step, without the ones that it would bring along."""

    requires = (Line,)


class Heart(bootsteps.StartStopStep):  # type: ignore[misc]
    """Says hello at each connection, and beats while it lasts: Celery drops timers at a reconnect."""

    requires = (Orders,)

    def start(self, c: Any) -> None:
        """Say hello and begin to beat."""
        send_worker_event(c, "worker-online")
        c.app.pulse.connected()
        c.app.pulse.start(c.hub, lambda: send_worker_event(c, "worker-heartbeat"))
        logger.info("event=connected broker=%s", c.connection.as_uri())


def end_worker() -> None:
    """End the worker at its next pause."""
    state.should_stop = EX_DEREGISTERED


def send_worker_event(c: Any, kind: str) -> None:
    """Send what Flower's list of workers is made of."""
    c.event_dispatcher.send(
        kind,
        freq=c.app.pulse.interval_s,
        active=len(active_requests),
        processed=all_total_count[0],
        loadavg=_load(),
        **SOFTWARE_INFO,
    )


def _load() -> tuple[float, ...]:
    return os.getloadavg() if hasattr(os, "getloadavg") else (0.0, 0.0, 0.0)


class HostConsumer(Consumer):  # type: ignore[misc]
    """A consumer that no message ends, and that comes back by itself, not all hosts at once."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """The steps of a host."""

        default_steps = (Connection, Line, Orders, Heart, Evloop)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._attempts = 0
        self._connected_s = 0.0
        super().__init__(*args, **kwargs)

    def connect(self) -> Any:
        """Return a connection, however long that takes; executions are looked after meanwhile."""
        if self._connected_s and elapsed_s() - self._connected_s > STABLE_S:
            self._attempts = 0
        if self.restart_count or self._attempts:
            self._pause()
        while True:
            connection = self.app.connection_for_read(heartbeat=self.amqheartbeat)
            try:
                connection.connect()
                break
            except ERRORS as error:
                name, text = type(error).__name__, explained(error)
                logger.warning("event=not_connected broker=%s reason=%s text=%r", connection.as_uri(), name, text)
                connection.release()
                if isinstance(error, REFUSALS):
                    self.app.farewell.refused()
            self._pause()
        self.first_connection_attempt = False
        self._connected_s = elapsed_s()
        if self.hub:
            connection.transport.register_with_event_loop(connection.connection, self.hub)
        return connection

    def _pause(self) -> None:
        """Wait by chance, longer each time, so that a fleet does not knock in step."""
        jitter = self.app.reconnect_jitter_s
        most = min(FIRST_RETRY_S, jitter) if self._attempts == 0 else min(jitter * self._attempts, LONGEST_PAUSE_S)
        self._attempts += 1
        until = elapsed_s() + random.uniform(0, most)  # noqa: S311 - spreads load, hides nothing
        while elapsed_s() < until:
            maybe_shutdown()
            self.app.executor.poll()
            time.sleep(NAP_S)
        maybe_shutdown()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Return Celery's handler, which lets nothing through that a message can raise."""
        handle = super().create_task_handler(*args, **kwargs)

        def guarded(message: Any) -> None:
            try:
                handle(message)
            except Exception as error:  # noqa: BLE001 - whatever a message can do, it must not end the worker
                self._dropped(f"malformed, {type(error).__name__}")

        return guarded

    def on_unknown_message(self, _body: Any, _message: Any) -> None:
        """Drop a message that is no task; Celery would log its content."""
        self._dropped("no-task")

    def on_unknown_task(self, _body: Any, _message: Any, _exc: Any) -> None:
        """Drop a message for a task that hosts do not have; Celery would log its content."""
        self._dropped("unknown-task")

    def on_invalid_task(self, _body: Any, _message: Any, _exc: Any) -> None:
        """Drop a message that Celery cannot make a task of; it would log its content."""
        self._dropped("invalid-task")

    def on_decode_error(self, _message: Any, _exc: Any) -> None:
        """Drop a message that cannot be decoded; Celery would log its content."""
        self._dropped("undecodable")

    def _dropped(self, reason: str) -> None:
        self.app.refusals.tell(Refusal.UNSIGNED, f"this is no message of ours: {reason}")

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Say what happened; a key of the wrong type only an operator can put right."""
        logger.warning("event=disconnected reason=%s text=%r", type(exc).__name__, " ".join(str(exc).split()[:12]))
        super().on_connection_error_after_connected(exc)
