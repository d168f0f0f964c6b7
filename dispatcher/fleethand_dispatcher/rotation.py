"""Changing the keys that sign, without a moment in which a host trusts none that is used."""

import re
from collections.abc import Sequence

import msgspec

from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.keyring import Keyring, KeyringError, SigningKey, new_signing_key

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LAST_WORD_MS = 2000
"""How long a key that is revoked as the last one still counts, so that hosts take the word that it is over."""


def rotate(
    keyring: Keyring, directives: Directives, *, name: str, now_ms: int, starts_in_s: int, command: Sequence[str] = ()
) -> SigningKey:
    """Make a key, have the one that signs now tell all hosts of it, and let it sign from *starts_in_s* on.

    Until then hosts can learn of it; one that is offline learns of it before it gets an order, by what the old key
    signed. The old key stays good until it is revoked. It is kept only when hosts are told: what failed before that can
    be tried again, while a key that signs and that nobody told them of would have them refuse every order.

    Raises:
        KeyringError: the name is taken or cannot be used, or no key can sign now.
        SignerError: the signer command does not do what it must.
    """
    _check_name(keyring, name)
    old = keyring.signer(now_ms).key.name
    made = new_signing_key(name, not_before_ms=now_ms + starts_in_s * 1000, command=command)
    if any(key.key_id == made.key.key_id for key in keyring.public_keys()):
        raise KeyringError(f"cannot add the key {name}: the signer command holds one that is here already")
    directives.issue(signed_by=old, new_key=made.key)
    keyring.add(made)
    return made


def revoke(keyring: Keyring, directives: Directives, *, name: str, now_ms: int, force: bool = False) -> SigningKey:
    """Have hosts take nothing any more that a key signed; another valid key tells them.

    Called again, it tells them again.

    Raises:
        KeyringError: there is no such key, or no other one that could sign.
    """
    key = next((key for key in keyring.signing_keys if key.key.name == name), None)
    if key is None:
        known = ", ".join(key.key.name for key in keyring.signing_keys)
        raise KeyringError(f"cannot revoke the key {name!r}: there are {known}")
    others = [other for other in keyring.signing_keys if other is not key and other.is_usable(now_ms)]
    if not others and not force:
        raise KeyringError(
            f"cannot revoke {name}: no other key is valid now, so that nothing could be signed any more and every host"
            " would have to be enrolled anew; make one first with `fleethand keys rotate`, or use --force"
        )
    over_ms = now_ms if others else now_ms + _LAST_WORD_MS
    public = msgspec.structs.replace(key.key, revoked_at_ms=key.key.revoked_at_ms or over_ms)
    revoked = msgspec.structs.replace(key, key=public)
    keyring.add(revoked)
    signer = max(others, key=lambda other: other.key.not_before_ms).key.name if others else name
    directives.issue(signed_by=signer)
    return revoked


def _check_name(keyring: Keyring, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise KeyringError(f"cannot call a key {name!r}: 1 to 64 letters, digits, '.', '_' and '-'")
    if any(key.key.name == name for key in keyring.signing_keys):
        raise KeyringError(f"cannot add the key {name}: there is one of that name; choose another with --name")
