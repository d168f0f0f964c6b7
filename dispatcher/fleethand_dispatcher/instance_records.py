"""The records of hosts: what each last said of itself, and when."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from fleethand_common.messages import Heartbeat
from fleethand_dispatcher import keys, scripts

if TYPE_CHECKING:
    import redis


class InstanceRecord(NamedTuple):
    """A host's last heartbeat and the times around it, in milliseconds on the server's clock."""

    facts: Heartbeat
    last_seen_at: int
    first_seen_at: int
    last_invoked_at: int | None


class InstanceRecords:
    """Reads and writes what is known of the hosts."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._heartbeat = scripts.load(client, "heartbeat")

    def note(self, heartbeats: Sequence[Heartbeat], offline_after_ms: int) -> list[tuple[str, str]]:
        """Record heartbeats.

        Returns:
            The (invocation, instance) pairs that a host which is new, came back or lost messages must now get.
        """
        flat: list[Any] = [keys.INSTANCE_PREFIX, offline_after_ms]
        for beat in heartbeats:
            flat += [beat.instance_id, msgspec.json.encode(beat), "1" if beat.hello else ""]
        answer = cast("list[bytes]", self._heartbeat(keys=[keys.INSTANCES, keys.SEEN], args=flat))
        pairs = zip(answer[1::2], answer[0::2], strict=True)
        return [(invocation.decode(), instance.decode()) for invocation, instance in pairs]

    def seen(self, instance_ids: Sequence[str]) -> list[int | None]:
        """Return when each instance was last heard of, None for one that never was."""
        if not instance_ids:
            return []
        scores = self._client.zmscore(keys.SEEN, list(instance_ids))
        return [None if score is None else int(score) for score in scores]

    def all_seen(self) -> dict[str, int]:
        """Return when each known instance was last heard of."""
        pairs = cast("list[tuple[bytes, float]]", self._client.zrange(keys.SEEN, 0, -1, withscores=True))
        return {raw.decode(): int(score) for raw, score in pairs}

    def facts(self) -> Iterable[Heartbeat]:
        """Yield the last heartbeat of every known instance."""
        decode = msgspec.json.Decoder(Heartbeat).decode
        for name, raw in self._client.hscan_iter(keys.INSTANCES, count=1000):
            if not name.endswith(b"@"):
                yield decode(raw)

    def read(self, instance_ids: Sequence[str]) -> list[InstanceRecord | None]:
        """Read several instances; None for one that was never seen."""
        if not instance_ids:
            return []
        decode = msgspec.json.Decoder(Heartbeat).decode
        ids = list(instance_ids)
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(keys.INSTANCES, ids)
        pipe.hmget(keys.INSTANCES, [f"{name}@" for name in ids])
        pipe.zmscore(keys.SEEN, ids)
        pipe.hmget(keys.INVOKED, ids)
        return [
            InstanceRecord(decode(facts), int(seen), int(first or seen), int(invoked) if invoked else None)
            if facts and seen is not None
            else None
            for facts, first, seen, invoked in zip(*pipe.execute(), strict=True)
        ]

    def open_counts(self, instance_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how many messages each instance must still get."""
        pipe = self._client.pipeline(transaction=False)
        for name in instance_ids:
            pipe.zcard(keys.instance_open(name))
        return dict(zip(instance_ids, cast("list[int]", pipe.execute()), strict=True))

    def forget(self, instance_id: str) -> None:
        """Remove what is known of a host; its results stay."""
        pipe = self._client.pipeline(transaction=True)
        pipe.hdel(keys.INSTANCES, instance_id, f"{instance_id}@")
        pipe.zrem(keys.SEEN, instance_id)
        pipe.hdel(keys.INVOKED, instance_id)
        pipe.execute()
