"""The records of enrolments under way: between a host's registration and its confirmation, and a while after."""

from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from fleethand_common.enrolling import RegisterRequest
from fleethand_dispatcher import keys, scripts
from fleethand_dispatcher.vault import Vault, VaultError

if TYPE_CHECKING:
    import redis

_KIND = "enrolment"
_CLAIM_MS = 30_000


class PendingEnrolment(msgspec.Struct, frozen=True, kw_only=True):
    """A registration that was accepted and must now be proven; its request is kept without the code."""

    enrolment_id: str
    request: RegisterRequest
    internet_ip: str
    nonce: bytes
    instance_id: str
    """New, or the one whose identity this machine takes over."""


class Claim(NamedTuple):
    """What became of a try to carry an enrolment out: see `lua/enrol.lua`."""

    state: str
    serial: int
    """Which use of its activation this is, from 1."""


class PendingRecords:
    """Reads and writes enrolments under way."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._vault = vault
        self._enrol = scripts.load(client, "enrol")

    def save(self, pending: PendingEnrolment, life_s: int) -> None:
        """Keep a registration until it is confirmed, or too old for that."""
        key = keys.enrolment(pending.enrolment_id)
        sealed = self._vault.seal(_KIND, pending.enrolment_id, msgspec.msgpack.encode(pending))
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(key, "body", cast("str", sealed))
        pipe.expire(key, life_s)
        pipe.execute()

    def read(self, enrolment_id: str) -> PendingEnrolment | None:
        """Return an enrolment, None if there is none or its record is not ours."""
        sealed = cast("bytes | None", self._client.hget(keys.enrolment(enrolment_id), "body"))
        try:
            plain = self._vault.open(_KIND, enrolment_id, sealed) if sealed else None
        except VaultError:
            return None
        return msgspec.msgpack.decode(plain, type=PendingEnrolment) if plain else None

    def claim(self, pending: PendingEnrolment, uses_allowed: int) -> Claim:
        """Claim an enrolment and count the use, in one step."""
        activation_id = pending.request.activation_id
        state, serial = self._enrol(
            keys=[keys.enrolment(pending.enrolment_id), keys.activation(activation_id), keys.ACTIVATIONS],
            args=[activation_id, uses_allowed, _CLAIM_MS],
        )
        return Claim(state.decode(), serial)

    def release(self, enrolment_id: str) -> None:
        """Let an enrolment that was claimed, and could not be carried out, be claimed again at once."""
        self._client.hdel(keys.enrolment(enrolment_id), "until")

    def settle(self, enrolment_id: str, answer: bytes, life_s: int) -> None:
        """Keep the answer a while for a host that did not get it; it is sealed for that host."""
        key = keys.enrolment(enrolment_id)
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(key, "answer", cast("str", answer))
        pipe.expire(key, life_s)
        pipe.execute()

    def answer(self, enrolment_id: str) -> bytes | None:
        """Return what was answered."""
        return cast("bytes | None", self._client.hget(keys.enrolment(enrolment_id), "answer"))
