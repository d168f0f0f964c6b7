"""The dashboard's ears: kombu's Redis transport, made so that it writes nothing and knows whose event it hears.

Each host may publish to channels of its own only; kombu forgets the channel and believes what the message says.
"""

from typing import Any

from celery.events import EventReceiver
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

_KombuChannel: Any = kombu_redis.Channel
_KombuTransport: Any = kombu_redis.Transport
"""kombu says that it has types, and leaves most out."""


class _Channel(_KombuChannel):  # type: ignore[misc]
    """A channel that subscribes; queues and their bindings are in this process only."""

    _heard_on = ""

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:  # noqa: ARG002
        self._fanout_queues[queue] = (exchange, routing_key.replace("#", "*"))

    def _new_queue(self, queue: str, **_: object) -> None:
        self.auto_delete_queues.add(queue)

    def _size(self, _queue: str) -> int:
        return 0

    def _delete(self, queue: str, *_: object, **__: object) -> None:
        self.auto_delete_queues.discard(queue)

    def _handle_message(self, client: Any, response: Any) -> Any:
        message = super()._handle_message(client, response)
        channel = message["channel"]
        self._heard_on = channel.decode(errors="replace") if isinstance(channel, bytes) else str(channel)
        return message

    def _deliver_fanout_message(self, message: Any, exchange: str) -> Any:
        message["properties"]["delivery_info"]["routing_key"] = self._heard_on.partition("/")[2].partition("/")[2]
        return super()._deliver_fanout_message(message, exchange)


class _Transport(_KombuTransport):  # type: ignore[misc]
    Channel = _Channel


def install() -> None:
    """Make this process use our transport for Redis URLs."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:_Transport"


class FleetReceiver(EventReceiver):  # type: ignore[misc]
    """A receiver of events that drops what one host says in another's name."""

    def _receive(self, body: Any, message: Any) -> None:
        instance_id = message.delivery_info["routing_key"].partition("/")[0]
        events = body if isinstance(body, list) else [body]
        super()._receive([event for event in events if _is_of(event, instance_id)], message)


def _is_of(event: Any, instance_id: str) -> bool:
    return isinstance(event, dict) and str(event.get("hostname")).rpartition("@")[0] == instance_id
