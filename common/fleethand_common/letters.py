"""How a signed message travels: a letter that many instances share, and a token that opens it for one of them.

The letter rides in the Celery message's body, the token in its headers, so that one body serves a whole invocation.
What is secret is encrypted once, under a key of that letter alone; the token holds this key, the signature and its
audience, sealed for one host. So nobody but the host learns anything from a message, and a token is of no use to any
other. A letter without secrets (a stop, a directive) is plain, and so is its token.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import sealing, signing
from fleethand_common.signing import AudienceError, Kind, PublicKey, SignatureError

GROUP = 16
"""How many instances one signature is for at most: a signature costs seven times as much as a seal."""

_VERSION = b"\1"
_NO_KEY = b"\0" * sealing.KEY_BYTES
_KEY_AT = 1
_SIGNATURE_AT = _KEY_AT + sealing.KEY_BYTES
_SIGNER_AT = _SIGNATURE_AT + signing.SIGNATURE_BYTES
_AUDIENCE_AT = _SIGNER_AT + signing.KEY_ID_CHARS


class Letter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part that all instances share: the message, encrypted or plain, and the invocation for whoever routes it."""

    invocation_id: str
    version: int
    sealed: bytes = b""
    plain: bytes = b""


class Token(NamedTuple):
    """What one instance needs to trust a letter, and to open it."""

    key: bytes
    """Of the letter; zeros if it is plain."""
    signature: bytes
    signer: str
    audience: tuple[str, ...]


class SealedReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report on its way up: who says so, in the clear, and what, sealed under the host's key.

    That it opens is the proof that this host wrote it.
    """

    instance_id: str = msgspec.field(name="from")
    sealed: bytes


def groups(instance_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Part instances into the audiences of one signature each."""
    for start in range(0, len(instance_ids), GROUP):
        yield instance_ids[start : start + GROUP]


def pack(token: Token) -> bytes:
    """Return a token's bytes, before they are sealed."""
    return b"".join((_VERSION, token.key, token.signature, token.signer.encode(), "\n".join(token.audience).encode()))


def unpack(data: bytes) -> Token:
    """Read a token.

    Raises:
        SignatureError: it is none.
    """
    if len(data) <= _AUDIENCE_AT or data[:_KEY_AT] != _VERSION:
        raise SignatureError("the token is none")
    try:
        signer, audience = data[_SIGNER_AT:_AUDIENCE_AT].decode(), data[_AUDIENCE_AT:].decode()
    except UnicodeDecodeError:
        raise SignatureError("the token is none") from None
    return Token(data[_KEY_AT:_SIGNATURE_AT], data[_SIGNATURE_AT:_SIGNER_AT], signer, tuple(audience.split("\n")))


def plain_token(signature: bytes, signer: str, audience: Sequence[str]) -> bytes:
    """Return the token of a letter that is not encrypted."""
    return pack(Token(_NO_KEY, signature, signer, tuple(audience)))


def open_letter(letter: Letter, token: Token) -> bytes:
    """Return the message that a letter holds; its signature is still to be checked.

    Raises:
        SealError: the token is another letter's, or the letter was altered.
    """
    if letter.sealed:
        return sealing.open_sealed(letter.sealed, token.key)
    if token.key != _NO_KEY:
        raise sealing.SealError("cannot open a plain letter with the token of an encrypted one")
    return letter.plain


def check(
    kind: Kind,
    message: bytes,
    token: Token,
    *,
    instance_id: str,
    trusted: Sequence[PublicKey],
    signed_at_ms: int,
    now_ms: int,
) -> PublicKey:
    """Check that *message* was signed, by a trusted key, for this instance.

    Raises:
        SignatureError: with the reason.
    """
    if instance_id not in token.audience and token.audience != (signing.EVERYONE,):
        raise AudienceError("signed for other instances")
    stated = signing.statement(kind, message, token.audience)
    return signing.check(
        stated, token.signature, token.signer, trusted=trusted, signed_at_ms=signed_at_ms, now_ms=now_ms
    )
