"""The way to the broker: kombu's Redis transport, made so that no message and no outage ends or holds up the worker.

The only module of the host side that speaks to Redis itself. One connection blocks on the host's two queues; the
other one, which this module calls the line, sends reports and events and asks the time.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from fleethand_common.celery_config import REPORTS_QUEUE

logger = logging.getLogger(__name__)

CONNECTION_ERRORS: tuple[type[Exception], ...] = kombu_redis.Transport.connection_errors
CHANNEL_ERRORS: tuple[type[Exception], ...] = kombu_redis.Transport.channel_errors
_KombuChannel: Any = kombu_redis.Channel
_KombuTransport: Any = kombu_redis.Transport
"""kombu says that it has types, and leaves most out."""
ERRORS = (*CONNECTION_ERRORS, *CHANNEL_ERRORS)
REFUSALS = (AuthenticationError,)
"""The broker does not know this host, or another password of it."""

_NEEDLESS_TIMERS = ("_restore_messages_tref", "_subclient_health_tref", "_reauth_tref", "_binding_expiry_tref")
"""Housekeeping of kombu for what is not used here; one of them wakes the host every second."""


_WAKE_UP = b"wake up"
"""Not JSON, so that one that is left behind is dropped."""


class Channel(_KombuChannel):  # type: ignore[misc]
    """A channel that drops what it cannot read, and that closes at once without losing a message."""

    _was_dropped = False
    _polled = ""
    """One of the queues that the poll is for."""
    _closing: bool
    _in_poll: Any

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        # redis-py would try again ten times, with pauses, and hold the event loop up meanwhile.
        return {**super()._connparams(asynchronous), "retry": Retry(NoBackoff(), 0)}

    def _on_connection_disconnect(self, connection: Any) -> None:
        super()._on_connection_disconnect(connection)
        self._was_dropped = self._registered and not self._closing

    def _brpop_start(self, timeout: float | None = None) -> None:
        if self._was_dropped:
            # kombu would go on with a new socket, and nobody would say hello to the control plane.
            raise ConnectionError("the connection to the broker was dropped")
        self._polled = next(iter(self.active_queues), "")
        super()._brpop_start(timeout)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except ValueError as error:
            _tell_dropped(f"not JSON, {type(error).__name__}")
            return True

    def close(self) -> None:
        """Close without waiting for the poll to run out."""
        if self._in_poll and not self._closing:
            self._closing = True
            with suppress(*ERRORS):
                self._end_poll()
            self._in_poll = None
        super().close()

    def _end_poll(self) -> None:
        """Wake the poll with a message to ourselves, and put back what it may have got instead in that moment.

        Closing the socket instead would lose a message that is already on its way. `CLIENT UNBLOCK` would do, but who
        may call it may do so to every client of the server.
        """
        line = self.new_line()
        with suppress(*CHANNEL_ERRORS):  # a server that takes nothing lets us wait for the poll's own end
            line.lpush(self._polled, _WAKE_UP)
        answer = self.client.parse_response(self.client.connection, "BRPOP")
        if answer and answer[1] != _WAKE_UP:
            line.rpush(*answer)
            line.lrem(self._polled, 0, _WAKE_UP)

    def new_line(self) -> Any:
        """Return a client on the connection that does not poll."""
        return self._create_client()

    def drop(self) -> None:
        """Give the connection up, so that the consumer makes a new one."""
        connection = getattr(self.client, "connection", None)
        self._was_dropped = True
        if connection is not None:
            connection.disconnect()


class Transport(_KombuTransport):  # type: ignore[misc]
    """A transport that survives every message."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            super()._deliver(message, queue)
        except Exception as error:  # noqa: BLE001 - whatever a message can do, it must not end the worker
            # Not the error's text: it can hold the message, which can hold a script.
            _tell_dropped(f"malformed, {type(error).__name__}")

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Register as kombu does, but for what is not needed here."""
        super().register_with_event_loop(connection, loop)
        for name in _NEEDLESS_TIMERS:
            getattr(self.cycle, name).cancel()


_on_dropped: list[Callable[[str], None]] = []


def _tell_dropped(reason: str) -> None:
    for tell in _on_dropped:
        tell(reason)


def install(on_dropped: Callable[[str], None]) -> None:
    """Make this process use our transport for Redis URLs.

    Args:
        on_dropped: is told of each message that is none, with a reason that holds nothing of it.
    """
    _on_dropped[:] = [on_dropped]
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class BrokerLine:
    """The line to the control plane, up while there is a connection."""

    def __init__(self, on_trouble: Callable[[str], None] | None = None) -> None:
        self._channel: Channel | None = None
        self._client: Any = None
        self._on_trouble = on_trouble

    @property
    def is_up(self) -> bool:
        """Tell whether anything can be sent."""
        return self._client is not None

    def up(self, channel: Channel) -> None:
        """Use this channel's connection from now on."""
        self._channel = channel
        self._client = channel.new_line()

    def down(self) -> None:
        """Send nothing more until the next connection."""
        self._channel = self._client = None

    def push(self, reports: list[bytes]) -> bool:
        """Send reports in this order; tell whether the server took them."""
        if self._client is None:
            return False
        if not reports:
            return True
        return self._try(self._client.lpush, REPORTS_QUEUE, *reports) is not None

    def server_time_ms(self) -> float | None:
        """Return the server's time, or None if it cannot be asked."""
        if self._client is None:
            return None
        answer = self._try(self._client.time)
        return None if answer is None else answer[0] * 1000 + answer[1] / 1000

    def _try(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except CHANNEL_ERRORS as error:  # such as a server whose memory is full: the connection itself is well
            logger.warning("event=not_sent reason=%s", " ".join(str(error).split()[:3]))
        except CONNECTION_ERRORS as error:
            logger.warning("event=line_lost reason=%s", type(error).__name__)
            channel = self._channel
            self.down()
            if channel is not None:
                channel.drop()
        return None
