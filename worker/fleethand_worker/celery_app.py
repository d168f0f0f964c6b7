"""The Celery app and worker of one host, with everything off that talks to other hosts."""

import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery, Task
from celery.events.dispatcher import EventDispatcher
from celery.worker import state
from celery.worker.worker import WorkController
from kombu.entity import Exchange, Queue

from fleethand_common import celery_config, messages, tls
from fleethand_common.messages import Refusal
from fleethand_worker import broker
from fleethand_worker.admission import Admission
from fleethand_worker.broker import BrokerLine
from fleethand_worker.consumer import EVENTS_KEPT, HostConsumer
from fleethand_worker.direction import Direction
from fleethand_worker.executor import Executor
from fleethand_worker.farewell import Farewell
from fleethand_worker.heartbeat import Pulse
from fleethand_worker.pool import SupervisorPool
from fleethand_worker.refusals import Refusals
from fleethand_worker.settings import WorkerSettings

POLL_S = 5
"""How long the server holds a poll: the longer, the cheaper an idle host, and the more a dead one can take along."""
SOCKET_TIMEOUT_S = 5
"""How long a send may hold up the event loop; a poll is only read when its answer is there."""
EVENTS_DELAY_S = 0.1
UNSENT_KEPT = 20
"""Messages of events that the server did not take, all of them tried again with the next one."""
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


_Exchange: Any = Exchange
_Queue: Any = Queue
"""kombu says that it has types, and leaves most out."""


class HostApp(Celery):  # type: ignore[misc]
    """A Celery app that knows the parts of a host."""

    admission: Admission
    direction: Direction
    refusals: Refusals
    executor: Executor
    pulse: Pulse
    line: BrokerLine
    farewell: Farewell
    reconnect_jitter_s: float
    dispatcher: EventDispatcher | None = None
    _events_are_due = False
    early_events: tuple[tuple[str, dict[str, Any]], ...] = ()
    """What there was to tell before the first connection."""

    def send_event(self, kind: str, **fields: Any) -> None:
        """Send an event of a task that Celery itself knows nothing of."""
        if self.dispatcher is None:
            self.early_events = (*self.early_events, (kind, fields))[-EVENTS_KEPT:]
        else:
            self.dispatcher.send(kind, **fields)

    def _tell_events_soon(self) -> None:
        """Send the events of some moments as one message: a short command makes three, and nobody waits for them."""
        if not self._events_are_due and self.executor.loop is not None:
            self._events_are_due = True
            self.executor.loop.call_later(EVENTS_DELAY_S, self.tell_events)

    def tell_events(self) -> None:
        """Send the events that wait; what cannot be sent waits for the next connection."""
        self._events_are_due = False
        if self.dispatcher is not None:
            with suppress(*broker.ERRORS):
                self.dispatcher.flush()

    def use_dispatcher(self, consumer: Any, channel: Any) -> EventDispatcher:
        """Return the one dispatcher of events, put on a new connection; requests of an old one still hold it."""
        self._events_are_due = False  # its timer may have gone with the connection
        if self.dispatcher is None:
            self.dispatcher = EventDispatcher(
                channel=channel,
                hostname=consumer.hostname,
                app=self,
                buffer_group=["task"],
                on_send_buffered=self._tell_events_soon,
            )
            self.dispatcher._outbound_buffer = deque(maxlen=UNSENT_KEPT)
            for kind, fields in self.early_events:
                self.dispatcher.send(kind, **fields)
            self.early_events = ()
            return self.dispatcher
        for events in self.dispatcher._group_buffer.values():
            del events[:-EVENTS_KEPT]
        self.dispatcher.connection = channel.connection.client
        self.dispatcher.channel = channel
        self.dispatcher.enable()
        self.dispatcher.flush()
        return self.dispatcher


def make_app(settings: WorkerSettings) -> HostApp:
    """Return the app of the host that *settings* describe; its parts are still to be set."""
    app = HostApp("fleethand", set_as_current=True, fixups=[])
    broker.install(lambda reason: app.refusals.tell(Refusal.UNSIGNED, f"this is no message: {reason}"))
    app.conf.update(_configuration(settings))
    app.reconnect_jitter_s = settings.reconnect_jitter_s
    _add_tasks(app)
    return app


def _configuration(settings: WorkerSettings) -> dict[str, Any]:
    names = (celery_config.control_queue(settings.instance_id), celery_config.orders_queue(settings.instance_id))
    return {
        **celery_config.BASE_CONFIG,
        "broker_url": settings.redis_url,
        "broker_use_ssl": _tls(settings),
        "broker_pool_limit": 2,
        "broker_connection_timeout": SOCKET_TIMEOUT_S,
        "broker_transport_options": _transport_options(settings),
        # no_ack, as there is nothing to acknowledge: the journal has the order before the message is forgotten
        "task_queues": [_Queue(name, _Exchange(""), routing_key=name, no_declare=True, no_ack=True) for name in names],
        "task_default_queue": names[1],
        # channels of its own, the only ones that the server lets it publish to; who listens to all hears these too
        "event_exchange": f"celeryev/{settings.instance_id}",
        "task_send_sent_event": False,
        "worker_prefetch_multiplier": 0,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_disable_rate_limits": True,
        "worker_enable_prefetch_count_reduction": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_detect_quorum_queues": False,
    }


def _transport_options(settings: WorkerSettings) -> dict[str, Any]:
    options = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}
    return {
        **celery_config.CHANNEL_OPTIONS,
        "polling_interval": POLL_S,
        "queue_order_strategy": "priority",  # a stop before an order
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": 5,
        "health_check_interval": 10,
        "socket_keepalive": True,
        "socket_keepalive_options": options,
        "client_name": settings.instance_id,
        "max_connections": 4,
    }


def _tls(settings: WorkerSettings) -> dict[str, Any] | None:
    return tls.ssl_options(
        settings.redis_url,
        ca_certs=settings.tls_ca_certs,
        certfile=settings.tls_certfile,
        keyfile=settings.tls_keyfile,
    )


class _HostTask(Task):  # type: ignore[misc]
    abstract = True
    ignore_result = True

    def run(self, **_kwargs: object) -> None:
        """Do nothing: the pool does not call it, and nobody else may."""
        raise RuntimeError("a host runs its tasks in its own pool")


def _add_tasks(app: HostApp) -> None:
    class Execute(_HostTask):
        name = messages.EXECUTE_TASK

    class Stop(_HostTask):
        name = messages.STOP_TASK
        Strategy = "fleethand_worker.control:stop_strategy"

    class Directive(_HostTask):
        name = messages.DIRECTIVE_TASK
        Strategy = "fleethand_worker.control:directive_strategy"

    for task in (Execute, Stop, Directive):
        app.register_task(task())


class HostWorker(WorkController):  # type: ignore[misc]
    """Celery's bare worker; it ends in good order on SIGTERM and SIGINT and leaves what runs alone."""

    def on_before_init(self, **_kwargs: Any) -> None:
        """Take signals."""
        self.app.finalize()
        for name in ("SIGTERM", "SIGINT"):
            signal.signal(getattr(signal, name), _shut_down)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _shut_down(_number: int, _frame: object) -> None:
    state.should_stop = 0


def make_worker(app: HostApp, settings: WorkerSettings, on_ready: Callable[[Any], None]) -> HostWorker:
    """Return the worker, ready to be started."""
    return HostWorker(
        app=app,
        hostname=f"{settings.instance_id}@fleethand",
        pool_cls=SupervisorPool,
        consumer_cls=HostConsumer,
        concurrency=settings.concurrency,
        ready_callback=on_ready,
        task_events=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        use_eventloop=sys.platform != "win32",
    )
