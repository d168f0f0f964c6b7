"""Activation ids and codes: how they are made, and how a code is kept without being known."""

import hashlib
import hmac
import secrets
import uuid

CODE_PREFIX = "a-"
_CODE_BYTES = 24
_SALT_BYTES = 16
_COST = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
"""16 MB and some 40 ms a guess; a code is 24 random bytes, so guessing is hopeless anyway."""

_NOBODY = b"\0" * (_SALT_BYTES + 32)
"""Compared with where there is no such activation, so that the answer takes as long."""


def new_id() -> str:
    """Return an activation id, an upper-case UUID (spec 1.5)."""
    return str(uuid.uuid4()).upper()


def is_id(text: str) -> bool:
    """Tell whether *text* can be an activation id."""
    try:
        return str(uuid.UUID(text)).upper() == text
    except ValueError:
        return False


def new_code() -> str:
    """Return a code that nobody can guess."""
    return CODE_PREFIX + secrets.token_urlsafe(_CODE_BYTES)


def digest(code: str) -> bytes:
    """Return what is kept of a code: its salt and its hash (scrypt)."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return salt + _hash(code, salt)


def fits(code: str, kept: bytes | None) -> bool:
    """Tell whether *code* is the one that `digest` was given; takes equally long whatever the answer is."""
    known = kept or _NOBODY
    salt, wanted = known[:_SALT_BYTES], known[_SALT_BYTES:]
    return hmac.compare_digest(_hash(code, salt), wanted) and kept is not None


def _hash(code: str, salt: bytes) -> bytes:
    return hashlib.scrypt(code.encode(), salt=salt, **_COST)
