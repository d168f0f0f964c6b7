"""The only module of the control plane that talks to the broker: orders down, reports up.

Two small interfaces, so that another broker can carry the messages while the records stay in Redis.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import msgspec

from fleethand_common import celery_config
from fleethand_dispatcher import keys, scripts
from fleethand_dispatcher.envelope import Parts

if TYPE_CHECKING:
    import redis

_QUEUES_PER_CALL = 500
_AGGREGATOR_LEASE_MS = 10_000


class Message(NamedTuple):
    """A Celery message for many hosts, and how long it is of use.

    Each host's token is the one that was recorded for it, unless all get the same *token*.
    """

    parts: Parts
    control: bool
    useful_ms: int
    invoke_id: str = ""
    """Whose tokens; those of orders go into the queue of orders, those of stops into that of control."""
    token: str = ""


class OrderBus(Protocol):
    """Orders to hosts."""

    def publish(self, message: Message, instance_ids: Sequence[str]) -> int:
        """Put *message* into the queue of each instance; returns how many were put: it takes a token."""
        ...

    def without_orders(self, instance_ids: Collection[str]) -> set[str]:
        """Return those of some instances whose queue of orders is empty."""
        ...


class ReportBus(Protocol):
    """Reports from hosts, taken in batches that stay safe until they are settled."""

    def take(self, limit: int, wait_s: float) -> list[bytes]:
        """Return up to *limit* reports, oldest first; waits for the first one. They come again until `settle`."""
        ...

    def settle(self) -> None:
        """All that was taken is applied."""
        ...

    def reclaim(self) -> int:
        """Take back what aggregators that died had taken; returns how many reports."""
        ...

    def backlog(self) -> int:
        """Return how many reports, apart from our own batch, nobody has applied yet."""
        ...

    def set_aside(self, report: bytes, reason: str, at_ms: int) -> None:
        """Put a report that cannot be used where a person can look at it."""
        ...


class RedisOrderBus:
    """Orders through Redis lists, as kombu's transport reads them; one script call for 500 hosts."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._publish = scripts.load(client, "publish")

    def publish(self, message: Message, instance_ids: Sequence[str]) -> int:
        """See `OrderBus`. A queue vanishes when nothing in it can be of use any more."""
        queue = celery_config.control_queue if message.control else celery_config.orders_queue
        prefix, suffix = queue("\x00").split("\x00")
        published = 0
        for start in range(0, len(instance_ids), _QUEUES_PER_CALL):
            some = msgspec.json.encode(instance_ids[start : start + _QUEUES_PER_CALL])
            args: list[Any] = [prefix, suffix, max(1, message.useful_ms), some]
            args += [keys.STOP_MARK if message.control else "", message.token]
            args += [len(message.parts.before), *message.parts.before, *message.parts.after]
            published += cast("int", self._publish(keys=[keys.invocation(message.invoke_id).tokens], args=args))
        return published

    def without_orders(self, instance_ids: Collection[str]) -> set[str]:
        """See `OrderBus`."""
        pipe = self._client.pipeline(transaction=False)
        for instance_id in instance_ids:
            pipe.llen(celery_config.orders_queue(instance_id))
        return {name for name, length in zip(instance_ids, pipe.execute(), strict=True) if not length}


class RedisReportBus:
    """Reports in a Redis list; each aggregator moves what it works on to a list of its own."""

    def __init__(self, client: "redis.Redis", aggregator_id: str) -> None:
        self._client = client
        self._id = aggregator_id
        self._taken = keys.TAKEN_PREFIX + aggregator_id
        self._take = scripts.load(client, "take")
        self._reclaim = scripts.load(client, "reclaim")
        self._waiting = scripts.load(client, "waiting")

    def take(self, limit: int, wait_s: float) -> list[bytes]:
        """See `ReportBus`."""
        batch = self._take_now(limit)
        if batch or wait_s <= 0:
            return batch
        # kombu pushes on the left, so the oldest is on the right
        self._client.blmove(celery_config.REPORTS_QUEUE, self._taken, wait_s, "RIGHT", "RIGHT")  # type: ignore[arg-type]
        return self._take_now(limit)

    def _take_now(self, limit: int) -> list[bytes]:
        queues = [celery_config.REPORTS_QUEUE, self._taken, keys.AGGREGATORS]
        return cast("list[bytes]", self._take(keys=queues, args=[self._id, limit]))

    def settle(self) -> None:
        """See `ReportBus`."""
        self._client.delete(self._taken)

    def reclaim(self) -> int:
        """See `ReportBus`."""
        queues = [celery_config.REPORTS_QUEUE, keys.AGGREGATORS]
        return cast("int", self._reclaim(keys=queues, args=[keys.TAKEN_PREFIX, _AGGREGATOR_LEASE_MS]))

    def backlog(self) -> int:
        """See `ReportBus`."""
        queues = [celery_config.REPORTS_QUEUE, keys.AGGREGATORS]
        return cast("int", self._waiting(keys=queues, args=[keys.TAKEN_PREFIX, self._id]))

    def set_aside(self, report: bytes, reason: str, at_ms: int) -> None:
        """See `ReportBus`; the oldest of many are dropped."""
        entry = msgspec.json.encode({"at": at_ms, "reason": reason, "body": report[:4096].decode(errors="replace")})
        pipe = self._client.pipeline(transaction=True)
        pipe.lpush(keys.DEAD_REPORTS, entry)
        pipe.ltrim(keys.DEAD_REPORTS, 0, 999)
        pipe.execute()

    def leave(self) -> None:
        """Stop counting as an aggregator; what was taken and not settled goes back first."""
        while self._client.lmove(self._taken, celery_config.REPORTS_QUEUE, "RIGHT", "RIGHT"):
            pass
        self._client.hdel(keys.AGGREGATORS, self._id)
