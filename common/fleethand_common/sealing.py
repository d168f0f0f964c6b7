"""Sealing between the control plane and one host, and of what many hosts get alike: libsodium's boxes.

Both ends derive the same two keys, one for each direction, from their own secret and the other's public key; so what
opens under a host's key was sealed by that host or by the control plane, and what went down cannot be sent up.
"""

import hashlib
import os
from typing import NamedTuple

from nacl import bindings
from nacl.exceptions import CryptoError

KEY_BYTES = bindings.crypto_box_SECRETKEYBYTES
"""Of a public key, of a secret one, and of the key of a shared secret: 32 each."""
_NONCE_BYTES = bindings.crypto_secretbox_NONCEBYTES


class SealError(ValueError):
    """Cannot open this: it was sealed under another key, or it was altered."""


class BoxKeys(NamedTuple):
    """One end's pair of keys (Curve25519)."""

    public: bytes
    secret: bytes


class PairKeys(NamedTuple):
    """The two keys that the control plane and one host share."""

    down: bytes
    """Of what the control plane seals for the host."""
    up: bytes
    """Of what the host seals for the control plane."""


def new_box_keys() -> BoxKeys:
    """Make a pair of keys."""
    return BoxKeys(*bindings.crypto_box_keypair())


def public_of(secret: bytes) -> bytes:
    """Return the public key that belongs to a secret one."""
    return bindings.crypto_scalarmult_base(secret)


def new_key() -> bytes:
    """Make a key for `seal`."""
    return os.urandom(KEY_BYTES)


def pair_keys(own_secret: bytes, other_public: bytes) -> PairKeys:
    """Derive what two ends share; both get the same keys.

    Raises:
        SealError: *other_public* is no usable key.
    """
    try:
        shared = bindings.crypto_box_beforenm(other_public, own_secret)
    except (CryptoError, ValueError, TypeError, RuntimeError) as error:
        raise SealError("cannot use this public key") from error
    return PairKeys(down=_subkey(shared, b"fleethand down"), up=_subkey(shared, b"fleethand up"))


def seal(data: bytes, key: bytes) -> bytes:
    """Encrypt and authenticate *data*; every call gives another text, 40 bytes longer."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + bindings.crypto_secretbox(data, nonce, key)


def open_sealed(sealed: bytes, key: bytes) -> bytes:
    """Return what `seal` was given.

    Raises:
        SealError: another key, or not one bit as it was.
    """
    try:
        return bindings.crypto_secretbox_open(sealed[_NONCE_BYTES:], sealed[:_NONCE_BYTES], key)
    except (CryptoError, ValueError) as error:
        raise SealError("cannot open this: it was sealed under another key, or it was altered") from error


def _subkey(shared: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(key=shared, person=purpose.ljust(16, b"\0"), digest_size=KEY_BYTES).digest()
