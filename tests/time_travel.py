"""Let time pass in the records instead of in the test."""

import msgspec

from fleethand_dispatcher import keys
from fleethand_dispatcher.store import Store


def pass_time(store: Store, invoke_id: str, seconds: float) -> None:
    """Make everything that was noted of an invocation this much older."""
    ms = int(seconds * 1000)
    k = keys.invocation(invoke_id)
    store.client.hincrby(k.head, "deliver_before", -ms)
    instance_ids = store.invocations.targets(invoke_id)
    for instance_id, row in zip(instance_ids, store.invocations.rows(invoke_id, instance_ids), strict=True):
        assert row is not None
        for name in ("accepted_at", "started_at", "stop_at", "sent_at"):
            at = getattr(row, name)
            setattr(row, name, None if at is None else max(1, at - ms))
        store.client.hset(k.rows, instance_id, msgspec.json.encode(row))
        member = f"{invoke_id}|{instance_id}"
        if store.client.zscore(keys.WATCH, member) is not None:
            store.client.zincrby(keys.WATCH, -ms, member)


def look_at(store: Store, invoke_id: str, instance_id: str = "host-1") -> float | None:
    """Return in how many seconds the reaper will look at a row; None if it will not."""
    at = store.client.zscore(keys.WATCH, f"{invoke_id}|{instance_id}")
    return None if at is None else (at - store.now_ms()) / 1000


def make_offline(store: Store, instance_id: str = "host-1") -> None:
    """Make a host's last heartbeat three minutes old."""
    store.client.zadd(keys.SEEN, {instance_id: store.now_ms() - 180_000})
