"""The records of enrolled hosts: the keys that were agreed with each, sealed, so that nobody can slip in another's."""

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from fleethand_common.sealing import PairKeys
from fleethand_dispatcher import keys
from fleethand_dispatcher.vault import Vault, VaultError

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_KIND = "host"


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
    fingerprint: str = ""
    redis_user: str = ""

    @property
    def pair_keys(self) -> PairKeys:
        """Return both keys."""
        return PairKeys(down=self.down, up=self.up)


_decode = msgspec.msgpack.Decoder(EnrolledHost).decode


class HostRecords:
    """Reads and writes enrolled hosts."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._vault = vault

    def save(self, hosts: Sequence[EnrolledHost]) -> None:
        """Write hosts, new or changed."""
        if not hosts:
            return
        sealed: dict[Any, Any] = {
            host.instance_id: self._vault.seal(_KIND, host.instance_id, msgspec.msgpack.encode(host)) for host in hosts
        }
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(keys.HOSTS, mapping=sealed)
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

    def ids(self) -> list[str]:
        """Return the instance ids of all that are enrolled."""
        return [name.decode() for name in cast("list[bytes]", self._client.hkeys(keys.HOSTS))]

    def delete(self, instance_id: str) -> bool:
        """Forget a host, so that nothing can be sent to it nor taken from it; False if it was not enrolled."""
        pipe = self._client.pipeline(transaction=True)
        pipe.hdel(keys.HOSTS, instance_id)
        pipe.incr(keys.HOSTS_VERSION)
        return bool(pipe.execute()[0])

    def version(self) -> int:
        """Return a number that changes whenever a host is enrolled or gone."""
        return int(cast("bytes | None", self._client.get(keys.HOSTS_VERSION)) or 0)

    def _open(self, instance_id: str, sealed: bytes) -> EnrolledHost | None:
        try:
            return _decode(self._vault.open(_KIND, instance_id, sealed))
        except VaultError as error:
            logger.error("%s; it counts as not enrolled", error)
            return None
