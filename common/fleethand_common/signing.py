"""Signatures of the control plane (Ed25519): what exactly is signed, and which keys a host trusts at what time.

The signed statement names the kind of message, the digest of the whole plain message and everyone it is meant for.
The bytes that were signed are the bytes that are read, so there is nothing to bring into a canonical form.
"""

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec
from nacl import bindings
from nacl.exceptions import CryptoError

KEY_ID_CHARS = 8
SEED_BYTES = bindings.crypto_sign_SEEDBYTES
SIGNATURE_BYTES = bindings.crypto_sign_BYTES
EVERYONE = "*"
"""The audience of what is meant for every host; no instance can be called so."""

_CONTEXT = b"fleethand statement 1"


class Kind(StrEnum):
    """What a signed message is; a signature of one kind is none of another."""

    EXECUTE = "execute"
    STOP = "stop"
    DIRECTIVE = "directive"


class SignatureError(ValueError):
    """Cannot trust this message."""


class UntrustedKeyError(SignatureError):
    """Cannot trust this message: its key is unknown, revoked or outside of its dates."""


class AudienceError(SignatureError):
    """Cannot trust this message: it was signed for others."""


class PublicKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that hosts may trust; it is a file of its own in `task_sign_certs`.

    Times are milliseconds since 1970 on the control plane's clock; None is "no bound".
    """

    key_id: str
    name: str
    public: bytes
    not_before_ms: int = 0
    not_after_ms: int | None = None
    revoked_at_ms: int | None = None


class SigningPair(NamedTuple):
    """A seed's public key, and the secret key that libsodium wants."""

    public: bytes
    secret: bytes


def pair_of(seed: bytes) -> SigningPair:
    """Return the pair that a seed of 32 bytes stands for."""
    return SigningPair(*bindings.crypto_sign_seed_keypair(seed))


def key_id_of(public: bytes) -> str:
    """Return the short name by which messages say who signed them."""
    return hashlib.blake2b(public, digest_size=KEY_ID_CHARS // 2).hexdigest()


def statement(kind: Kind, message: bytes, audience: Sequence[str]) -> bytes:
    """Return what is signed for *message* to the instances of *audience*."""
    digest = hashlib.blake2b(message, digest_size=32).digest()
    return b"\0".join((_CONTEXT, kind.encode(), digest, "\n".join(audience).encode()))


def sign(stated: bytes, secret: bytes) -> bytes:
    """Return the 64 bytes of the signature alone."""
    return bindings.crypto_sign(stated, secret)[:SIGNATURE_BYTES]


def is_signed_by(stated: bytes, signature: bytes, public: bytes) -> bool:
    """Tell whether the owner of *public* signed *stated*."""
    try:
        bindings.crypto_sign_open(signature + stated, public)
    except (CryptoError, ValueError):
        return False
    return True


def check(
    stated: bytes, signature: bytes, key_id: str, *, trusted: Iterable[PublicKey], signed_at_ms: int, now_ms: int
) -> PublicKey:
    """Return the trusted key that signed *stated*.

    Args:
        signed_at_ms: when the message says that it was made.
        now_ms: the time by which a revocation counts.

    Raises:
        SignatureError: with the reason.
    """
    key = next((key for key in trusted if key.key_id == key_id), None)
    if key is None:
        raise UntrustedKeyError(f"signed with the unknown key {key_id[:KEY_ID_CHARS]!r}")
    if key.revoked_at_ms is not None and now_ms >= key.revoked_at_ms:
        raise UntrustedKeyError(f"signed with the revoked key {key.name}")
    if signed_at_ms < key.not_before_ms or (key.not_after_ms is not None and signed_at_ms > key.not_after_ms):
        raise UntrustedKeyError(f"signed with the key {key.name} outside of its dates")
    if not is_signed_by(stated, signature, key.public):
        raise SignatureError("the signature does not fit the message")
    return key
