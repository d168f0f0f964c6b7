"""What a host and the registration service say to each other, as JSON over HTTPS.

`register` names an activation and the host's public key; the answer is a challenge that only the owner of that key can
open. `confirm` proves that it was opened; only then is the host enrolled, and its credentials come sealed for it.
`deregister` and `status` are sealed under the key that was agreed then.
"""

from typing import Annotated, Literal

import msgspec

from fleethand_common import limits, sealing
from fleethand_common.signing import PublicKey

REGISTER_PATH = "/v1/register"
CONFIRM_PATH = "/v1/confirm"
DEREGISTER_PATH = "/v1/deregister"
STATUS_PATH = "/v1/status"
HEALTH_PATH = "/v1/health"

PIN_PREFIX = "sha256:"
"""Before the hexadecimal SHA-256 of the service's whole certificate (DER)."""

BODY_BYTES_MAX = 64 * 1024
"""Of a request and of an answer."""

_Word = Annotated[str, msgspec.Meta(max_length=255)]
_Key = Annotated[bytes, msgspec.Meta(min_length=sealing.KEY_BYTES, max_length=sealing.KEY_BYTES)]

Purpose = Literal["confirm", "deregister", "status"]


class RegisterRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host wants to be enrolled; the facts are its own word and are shown, never trusted."""

    activation_id: _Word
    activation_code: _Word
    box_public: _Key
    """Of the pair that this host made for itself."""
    machine_id: Annotated[str, msgspec.Meta(max_length=limits.MACHINE_ID_CHARS)] = ""
    machine_id_given: bool = False
    """An operator named it, instead of what the system says."""
    force: bool = False
    """Take over the identity that this machine had before."""
    fingerprint: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    name: _Word = ""
    tags: dict[str, str] = {}
    hostname: _Word = ""
    intranet_ip: _Word = ""
    os_type: _Word = ""
    os_version: _Word = ""
    worker_version: _Word = ""


class Challenge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to `RegisterRequest`: `sealed` holds a nonce, under the `down` key of both."""

    enrolment_id: str
    control_public: bytes
    sealed: bytes


class ConfirmRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The nonce comes back, in a `Statement` sealed under the `up` key."""

    enrolment_id: _Word
    sealed: bytes


class Enrolled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to `ConfirmRequest`: `sealed` is a `Grant` under the `down` key."""

    sealed: bytes


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a host needs to start, but for the secret that it made itself."""

    instance_id: str
    redis_url: str
    """With the user and password of this host alone."""
    enrolled_at_ms: int
    name: str
    tags: dict[str, str]
    keys: list[PublicKey]


class HostRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request of an enrolled host: `sealed` is a `Statement` under its `up` key."""

    instance_id: _Word
    sealed: bytes


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What only a host can have sealed; the purpose keeps one from being used as another."""

    purpose: Purpose
    subject: str
    """The enrolment or the instance that it is about."""
    nonce: bytes = b""


class HostState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to `deregister` and `status`."""

    instance_id: str
    enrolled: bool


class Refused(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to a request that cannot be met."""

    code: str
    message: str


encode = msgspec.json.Encoder().encode
decode_statement = msgspec.json.Decoder(Statement).decode
decode_grant = msgspec.json.Decoder(Grant).decode


def prove(key: bytes, purpose: Purpose, subject: str, nonce: bytes = b"") -> bytes:
    """Seal a statement under a host's `up` key."""
    return sealing.seal(encode(Statement(purpose=purpose, subject=subject, nonce=nonce)), key)


def is_proof(sealed: bytes, key: bytes, purpose: Purpose, subject: str, nonce: bytes = b"") -> bool:
    """Tell whether the host with this `up` key sealed just this statement."""
    try:
        found = decode_statement(sealing.open_sealed(sealed, key))
    except (sealing.SealError, msgspec.DecodeError):
        return False
    return found == Statement(purpose=purpose, subject=subject, nonce=nonce)
