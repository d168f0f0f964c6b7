"""The records of hosts: what each last said of itself, and when.

They can be read by whoever reads the server, but each carries a mark, so that nobody can have a host answer to
another's name or tags, and be sent what is meant for that one.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from fleethand_common.messages import Heartbeat
from fleethand_dispatcher import keys, scripts
from fleethand_dispatcher.sightings import Ignored, Seen, Sighting, see
from fleethand_dispatcher.vault import Vault

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_KIND = "instance"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sighting).decode


class InstanceRecord(NamedTuple):
    """A host's last heartbeat and the times around it, in milliseconds on the server's clock."""

    facts: Heartbeat
    last_seen_at: int
    first_seen_at: int
    last_invoked_at: int | None
    cloned_at: int | None = None
    """When two machines last spoke with this identity."""


class Noted(NamedTuple):
    """What came of some heartbeats."""

    taken: list[Heartbeat]
    """The last one of each host."""
    missing: list[tuple[str, str]]
    """(invocation, instance) pairs that a host which is new, came back or lost messages must now get."""
    ignored: list[Ignored]
    cloned: list[str]
    """Instances whose identity is on two machines."""


class InstanceRecords:
    """Reads and writes what is known of the hosts."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._vault = vault
        self._heartbeat = scripts.load(client, "heartbeat")

    def note(self, heartbeats: Sequence[Heartbeat], *, offline_after_ms: int, again_ms: int) -> Noted:
        """Record heartbeats in the order in which they came; one that proves nothing is left out.

        Args:
            offline_after_ms: a host that was silent for longer came back.
            again_ms: what is missing and was not sent by then, the reaper looks at.
        """
        names = list(dict.fromkeys(beat.instance_id for beat in heartbeats))
        now_ms, known = self._known(names)
        noted = Noted([], [], [], [])
        hellos: dict[str, bool] = {}
        for beat in heartbeats:
            name = beat.instance_id
            outcome = see(known.get(name), beat, now_ms)
            if isinstance(outcome, Seen):
                known[name] = outcome.sighting
                hellos[name] = hellos.get(name, False) or beat.hello
                noted.cloned.extend([name] if outcome.is_clone else [])
            else:
                noted.ignored.append(outcome)
        noted.taken.extend(known[name].facts for name in hellos)
        noted.missing.extend(self._write({name: known[name] for name in hellos}, hellos, offline_after_ms, again_ms))
        return noted

    def _known(self, instance_ids: Sequence[str]) -> tuple[int, dict[str, Sighting]]:
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        pipe.hmget(keys.INSTANCES, list(instance_ids))
        (seconds, micros), stored = pipe.execute()
        known = {
            name: sighting
            for name, raw in zip(instance_ids, stored, strict=True)
            if (sighting := self._open(name, raw))
        }
        return seconds * 1000 + micros // 1000, known

    def _write(
        self, sightings: Mapping[str, Sighting], hellos: Mapping[str, bool], *times_ms: int
    ) -> list[tuple[str, str]]:
        if not sightings:
            return []
        flat: list[Any] = [keys.INSTANCE_PREFIX, *times_ms]
        for name, sighting in sightings.items():
            flat += [name, self._close(name, sighting), "1" if hellos[name] else ""]
        answer = cast("list[bytes]", self._heartbeat(keys=[keys.INSTANCES, keys.SEEN, keys.WATCH], args=flat))
        pairs = zip(answer[1::2], answer[0::2], strict=True)
        return [(invocation.decode(), instance.decode()) for invocation, instance in pairs]

    def _close(self, instance_id: str, sighting: Sighting) -> bytes:
        text = _encode(sighting)
        return self._vault.mark(_KIND, instance_id, text.decode()).encode() + b" " + text

    def _open(self, instance_id: str, raw: bytes | None) -> Sighting | None:
        """Read a record; one that was changed by somebody else counts as none until the host's next heartbeat."""
        if raw is None:
            return None
        mark, _, text = raw.partition(b" ")
        try:
            if self._vault.is_mark(mark.decode(), _KIND, instance_id, text.decode()):
                return _decode(text)
        except ValueError:
            pass
        logger.error("cannot use what is recorded of %s: it was altered in Redis", instance_id)
        return None

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
        """Yield the last heartbeat of every known instance whose record is ours."""
        return (sighting.facts for sighting in self.sightings() if sighting is not None)

    def sightings(self) -> Iterable[Sighting | None]:
        """Yield what is kept of every known instance; None for a record that somebody else has changed."""
        for raw_name, raw in self._client.hscan_iter(keys.INSTANCES, count=1000):
            name = raw_name.decode(errors="replace")
            if not name.endswith("@"):
                yield self._open(name, raw)

    def read(self, instance_ids: Sequence[str]) -> list[InstanceRecord | None]:
        """Read several instances; None for one that was never seen, or whose record is not ours."""
        if not instance_ids:
            return []
        ids = list(instance_ids)
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(keys.INSTANCES, ids)
        pipe.hmget(keys.INSTANCES, [f"{name}@" for name in ids])
        pipe.zmscore(keys.SEEN, ids)
        pipe.hmget(keys.INVOKED, ids)
        return [
            InstanceRecord(
                sighting.facts, int(seen), int(first or seen), int(invoked) if invoked else None, sighting.cloned_at
            )
            if seen is not None and (sighting := self._open(name, raw))
            else None
            for name, raw, first, seen, invoked in zip(ids, *pipe.execute(), strict=True)
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
