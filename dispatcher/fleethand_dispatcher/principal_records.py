"""The records of principals and policies, sealed, so that nobody can give rights who does not hold the vault's key."""

import logging
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from fleethand_dispatcher import keys
from fleethand_dispatcher.vault import Vault, VaultError

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_PRINCIPAL, _POLICY = "principal", "policy"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept: the secret's digest, never the secret. Times are milliseconds on the server's clock."""

    key_id: str
    secret_digest: bytes
    created_at_ms: int
    not_after_ms: int | None = None
    """Until when it is good after another one has taken its place; None is "no bound"."""


class PrincipalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a program that may use an API key."""

    name: str
    kind: Literal["user", "program"]
    policies: list[str]
    keys: list[ApiKey]
    created_at_ms: int
    enabled: bool = True


_decode = msgspec.msgpack.Decoder(PrincipalRecord).decode


class PrincipalRecords:
    """Reads and writes principals and policies; every write makes `version` grow in the same step."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._vault = vault

    def version(self) -> int:
        """Return a number that changes whenever a principal or a policy does."""
        return int(cast("bytes | None", self._client.get(keys.PRINCIPALS_VERSION)) or 0)

    def save(self, record: PrincipalRecord, *, new: bool = False) -> bool:
        """Write a principal; False if it had to be *new* and is not."""
        sealed = self._vault.seal(_PRINCIPAL, record.name, msgspec.msgpack.encode(record))
        return self._write(keys.PRINCIPALS, record.name, sealed, new=new)

    def read(self, name: str) -> PrincipalRecord | None:
        """Read one principal; None if there is none, or its record is not ours."""
        sealed = cast("bytes | None", self._client.hget(keys.PRINCIPALS, name))
        opened = self._open(_PRINCIPAL, name, sealed)
        return None if opened is None else _decode(opened)

    def all(self) -> list[PrincipalRecord]:
        """Read every principal, sorted by name."""
        stored = cast("dict[bytes, bytes]", self._client.hgetall(keys.PRINCIPALS))
        opened = (self._open(_PRINCIPAL, name.decode(), sealed) for name, sealed in sorted(stored.items()))
        return [_decode(text) for text in opened if text is not None]

    def delete(self, name: str) -> bool:
        """Remove a principal; False if there was none."""
        return self._remove(keys.PRINCIPALS, name)

    def save_policy(self, name: str, document: str, *, new: bool = False) -> bool:
        """Write a policy's document, JSON; False if it had to be *new* and is not."""
        return self._write(keys.POLICIES, name, self._vault.seal(_POLICY, name, document.encode()), new=new)

    def policies(self) -> dict[str, str]:
        """Read the documents of all policies that are kept here, by name."""
        stored = cast("dict[bytes, bytes]", self._client.hgetall(keys.POLICIES))
        opened = {name.decode(): self._open(_POLICY, name.decode(), sealed) for name, sealed in sorted(stored.items())}
        return {name: text.decode() for name, text in opened.items() if text is not None}

    def delete_policy(self, name: str) -> bool:
        """Remove a policy; False if there was none."""
        return self._remove(keys.POLICIES, name)

    def _write(self, key: str, name: str, sealed: bytes, *, new: bool) -> bool:
        pipe = self._client.pipeline(transaction=True)
        if new:
            pipe.hsetnx(key, name, cast("Any", sealed))
        else:
            pipe.hset(key, name, cast("Any", sealed))
        pipe.incr(keys.PRINCIPALS_VERSION)
        written = pipe.execute()[0]
        return bool(written) or not new

    def _remove(self, key: str, name: str) -> bool:
        pipe = self._client.pipeline(transaction=True)
        pipe.hdel(key, name)
        pipe.incr(keys.PRINCIPALS_VERSION)
        return bool(pipe.execute()[0])

    def _open(self, kind: str, name: str, sealed: bytes | None) -> bytes | None:
        try:
            return None if sealed is None else self._vault.open(kind, name, sealed)
        except VaultError as error:
            logger.error("%s; it counts as absent", error)
            return None
