"""The records of activations: sealed, so that nobody who writes to Redis can make one or open one again."""

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from fleethand_dispatcher import keys, scripts
from fleethand_dispatcher.vault import Vault, VaultError

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_KIND = "activation"
_HOUR_MS = 3_600_000


class StoredActivation(msgspec.Struct, frozen=True, kw_only=True):
    """An activation; of its code only the salted hash. Times are milliseconds since 1970 on the server's clock."""

    activation_id: str
    code_digest: bytes
    name_prefix: str = ""
    description: str = ""
    instance_count: int
    ttl_h: int
    ip_address_range: str = ""
    tags: dict[str, str] = {}
    created_at_ms: int
    disabled: bool = False

    @property
    def expires_at_ms(self) -> int:
        """Return from when on it enrols nobody any more."""
        return self.created_at_ms + self.ttl_h * _HOUR_MS


class Uses(NamedTuple):
    """How often an activation was used."""

    registered: int
    deregistered: int
    failures: int


_decode = msgspec.msgpack.Decoder(StoredActivation).decode


class ActivationRecords:
    """Reads and writes activations and their counters."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._vault = vault
        self._replace = scripts.load(client, "replace")

    def create(self, activation: StoredActivation) -> None:
        """Write a new one."""
        self._client.hset(keys.ACTIVATIONS, activation.activation_id, cast("str", self._seal(activation)))

    def count(self) -> int:
        """Return how many there are."""
        return self._client.hlen(keys.ACTIVATIONS)

    def read(self, activation_id: str) -> StoredActivation | None:
        """Return an activation, None if there is none or its record is not ours."""
        sealed = cast("bytes | None", self._client.hget(keys.ACTIVATIONS, activation_id))
        return self._open(activation_id, sealed) if sealed else None

    def all(self) -> Iterator[StoredActivation]:
        """Yield every activation."""
        for name, sealed in self._client.hscan_iter(keys.ACTIVATIONS, count=1000):
            activation = self._open(name.decode(), sealed)
            if activation is not None:
                yield activation

    def disable(self, activation_id: str) -> StoredActivation | None:
        """Have an activation enrol nobody any more; None if there is none."""
        while True:
            sealed = cast("bytes | None", self._client.hget(keys.ACTIVATIONS, activation_id))
            activation = self._open(activation_id, sealed) if sealed else None
            if sealed is None or activation is None or activation.disabled:
                return activation
            changed = msgspec.structs.replace(activation, disabled=True)
            if self._replace(keys=[keys.ACTIVATIONS], args=[activation_id, sealed, self._seal(changed)]):
                return changed

    def delete(self, activation_id: str) -> None:
        """Forget an activation and its counters."""
        pipe = self._client.pipeline(transaction=True)
        pipe.hdel(keys.ACTIVATIONS, activation_id)
        pipe.delete(keys.activation(activation_id))
        pipe.execute()

    def uses(self, activation_ids: Sequence[str]) -> list[Uses]:
        """Return the counters of some activations."""
        pipe = self._client.pipeline(transaction=False)
        for name in activation_ids:
            pipe.hmget(keys.activation(name), list(Uses._fields))
        return [Uses(*(int(value or 0) for value in row)) for row in pipe.execute()]

    def count_failure(self, activation_id: str) -> int:
        """Count one more wrong code and return how many there were."""
        return self._client.hincrby(keys.activation(activation_id), "failures", 1)

    def count_deregistered(self, activation_id: str) -> None:
        """Count one more instance that is gone; unless the activation is gone too."""
        if self._client.hexists(keys.ACTIVATIONS, activation_id):
            self._client.hincrby(keys.activation(activation_id), "deregistered", 1)

    def _seal(self, activation: StoredActivation) -> bytes:
        return self._vault.seal(_KIND, activation.activation_id, msgspec.msgpack.encode(activation))

    def _open(self, activation_id: str, sealed: bytes) -> StoredActivation | None:
        try:
            return _decode(self._vault.open(_KIND, activation_id, sealed))
        except VaultError as error:
            logger.error("%s; it counts as gone", error)
            return None
