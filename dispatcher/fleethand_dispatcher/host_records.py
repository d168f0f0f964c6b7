"""The records of enrolled hosts: the keys that were agreed with each, sealed, so that nobody can slip in another's."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from fleethand_common.celery_config import control_queue, orders_queue
from fleethand_common.messages import Heartbeat
from fleethand_common.sealing import PairKeys
from fleethand_dispatcher import keys, scripts
from fleethand_dispatcher.vault import Vault, VaultError

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_KIND = "host"


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a host said of itself when it was enrolled, and where it came from."""

    machine_id: str = ""
    fingerprint: str = ""
    hostname: str = ""
    os_type: str = ""
    os_version: str = ""
    worker_version: str = ""
    intranet_ip: str = ""
    internet_ip: str = ""
    """The address that its registration came from."""


class EnrolledHost(msgspec.Struct, frozen=True, kw_only=True):
    """What the control plane knows of a host since it was enrolled; nothing of it is the host's own later word."""

    instance_id: str
    box_public: bytes
    down: bytes
    """The key of what is sealed for this host."""
    up: bytes
    """The key of what this host seals."""
    enrolled_at_ms: int
    name: str = ""
    tags: dict[str, str] = {}
    activation_id: str = ""
    redis_user: str = ""
    facts: HostFacts = HostFacts()

    @property
    def pair_keys(self) -> PairKeys:
        """Return both keys."""
        return PairKeys(down=self.down, up=self.up)

    def agreed(self, name: str, tags: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return the name and the tags that count for a host which says these of itself.

        A name that was agreed wins. A host that an activation enrolled, or that was given tags, has those and no
        other: otherwise it could call commands to itself that are meant for the hosts of a tag.
        """
        return self.name or name, dict(self.tags) if self.activation_id or self.tags else dict(tags)


_decode = msgspec.msgpack.Decoder(EnrolledHost).decode


class HostRecords:
    """Reads and writes enrolled hosts."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._vault = vault
        self._replace = scripts.load(client, "replace")

    def save(self, hosts: Sequence[EnrolledHost]) -> None:
        """Write hosts, new or changed."""
        if not hosts:
            return
        sealed: dict[Any, Any] = {host.instance_id: self._seal(host) for host in hosts}
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(keys.HOSTS, mapping=sealed)
        for host in hosts:
            if host.facts.machine_id:
                pipe.sadd(self._machine(host.facts.machine_id), host.instance_id)
        pipe.incr(keys.HOSTS_VERSION)
        pipe.execute()

    def read(self, instance_ids: Sequence[str]) -> list[EnrolledHost | None]:
        """Read several hosts; None for one that is not enrolled, or whose record is not ours."""
        if not instance_ids:
            return []
        raw = cast("list[bytes | None]", self._client.hmget(keys.HOSTS, list(instance_ids)))
        return [self._open(name, sealed) if sealed else None for name, sealed in zip(instance_ids, raw, strict=True)]

    def all(self) -> Iterator[EnrolledHost]:
        """Yield every enrolled host."""
        for name, sealed in self._client.hscan_iter(keys.HOSTS, count=1000):
            host = self._open(name.decode(), sealed)
            if host is not None:
                yield host

    def count(self) -> int:
        """Return how many hosts are enrolled."""
        return self._client.hlen(keys.HOSTS)

    def agreed(self, heartbeats: Sequence[Heartbeat]) -> list[Heartbeat]:
        """Return heartbeats with the names and tags that were agreed instead of those that hosts give themselves."""
        found = self.read([beat.instance_id for beat in heartbeats])
        return [_agreed(beat, host) if host else beat for beat, host in zip(heartbeats, found, strict=True)]

    def on_machine(self, machine_id: str) -> list[EnrolledHost]:
        """Return the hosts that were enrolled with a machine id; several if a disk was copied."""
        names = cast("set[bytes]", self._client.smembers(self._machine(machine_id)))
        found = self.read(sorted(name.decode() for name in names))
        # the set only says where to look: it is not sealed
        return [host for host in found if host is not None and host.facts.machine_id == machine_id]

    def change(self, instance_id: str, change: Callable[[EnrolledHost], EnrolledHost]) -> EnrolledHost | None:
        """Change what is known of a host, but not its keys; None if it is not enrolled, also if only just now."""
        while True:
            sealed = cast("bytes | None", self._client.hget(keys.HOSTS, instance_id))
            host = self._open(instance_id, sealed) if sealed else None
            if sealed is None or host is None:
                return None
            changed = change(host)
            if self._replace(keys=[keys.HOSTS], args=[instance_id, sealed, self._seal(changed)]):
                return changed

    def ids(self) -> list[str]:
        """Return the instance ids of all that are enrolled."""
        return [name.decode() for name in cast("list[bytes]", self._client.hkeys(keys.HOSTS))]

    def delete(self, instance_id: str) -> bool:
        """Forget a host and what waits for it: nothing can be sent to it nor taken from it; False if there was none."""
        (host,) = self.read([instance_id])
        pipe = self._client.pipeline(transaction=True)
        pipe.hdel(keys.HOSTS, instance_id)
        pipe.delete(orders_queue(instance_id), control_queue(instance_id))
        if host is not None and host.facts.machine_id:
            pipe.srem(self._machine(host.facts.machine_id), instance_id)
        pipe.incr(keys.HOSTS_VERSION)
        return bool(pipe.execute()[0])

    def version(self) -> int:
        """Return a number that changes whenever a host is enrolled or gone."""
        return int(cast("bytes | None", self._client.get(keys.HOSTS_VERSION)) or 0)

    def _machine(self, machine_id: str) -> str:
        return keys.machine(self._vault.mark("machine", machine_id))

    def _seal(self, host: EnrolledHost) -> bytes:
        return self._vault.seal(_KIND, host.instance_id, msgspec.msgpack.encode(host))

    def _open(self, instance_id: str, sealed: bytes) -> EnrolledHost | None:
        try:
            return _decode(self._vault.open(_KIND, instance_id, sealed))
        except VaultError as error:
            logger.error("%s; it counts as not enrolled", error)
            return None


def _agreed(beat: Heartbeat, host: EnrolledHost) -> Heartbeat:
    name, tags = host.agreed(beat.name, beat.tags)
    return msgspec.structs.replace(beat, name=name, tags=tags)
