"""The vault: what the control plane writes into Redis is sealed under a key that is not there.

Whoever reads the server learns nothing from a sealed value; whoever writes to it cannot make one, nor put one in the
place of another, as each is bound to its kind and name (XChaCha20-Poly1305 with both as associated data).
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence

from nacl import bindings
from nacl.exceptions import CryptoError

from fleethand_common.errors import FleethandError

KEY_BYTES = bindings.crypto_aead_xchacha20poly1305_ietf_KEYBYTES
_NONCE_BYTES = bindings.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_ID_BYTES = 4
_MAC_BYTES = 12


class VaultError(FleethandError):
    """Cannot open a record: it was sealed under another key, or altered."""

    code = "RecordNotAuthentic"


class Vault:
    """Seals and opens records.

    Args:
        keys: the first one seals; all of them open, so that a key can be replaced.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_key_id(key): key for key in keys}
        self._current = keys[0]
        self._current_id = _key_id(keys[0])

    def seal(self, kind: str, name: str, data: bytes) -> bytes:
        """Return *data* sealed as the record *name* of a *kind*."""
        return self._seal(kind, name, data, os.urandom(_NONCE_BYTES))

    def seal_alike(self, kind: str, name: str, data: bytes) -> bytes:
        """Do as `seal`, but equal data in one record give equal text, so that they can be stored once."""
        nonce = hashlib.blake2b(data, key=self._current, salt=b"alike", digest_size=_NONCE_BYTES)
        nonce.update(_label(kind, name))
        return self._seal(kind, name, data, nonce.digest())

    def open(self, kind: str, name: str, sealed: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            VaultError: it is not what this control plane sealed as the record *name* of this *kind*.
        """
        key = self._keys.get(sealed[:_ID_BYTES])
        if key is None:
            raise VaultError(f"cannot open {kind} {name!r}: it was sealed under a key that is not in the keyring")
        nonce, text = sealed[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], sealed[_ID_BYTES + _NONCE_BYTES :]
        try:
            return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(text, _label(kind, name), nonce, key)
        except (CryptoError, ValueError) as error:
            raise VaultError(f"cannot open {kind} {name!r}: the record was altered in Redis") from error

    def seal_text(self, kind: str, name: str, data: bytes) -> str:
        """Do as `seal`, for a value that must be text."""
        return base64.b64encode(self.seal(kind, name, data)).decode()

    def open_text(self, kind: str, name: str, sealed: str | bytes) -> bytes:
        """Open what `seal_text` returned.

        Raises:
            VaultError: see `open`.
        """
        try:
            raw = base64.b64decode(sealed, validate=True)
        except ValueError as error:
            raise VaultError(f"cannot open {kind} {name!r}: the record was altered in Redis") from error
        return self.open(kind, name, raw)

    def mark(self, *parts: object) -> str:
        """Return a short mark that only a holder of the current key can make for *parts*."""
        return self._mark(self._current, parts)

    def is_mark(self, mark: str, *parts: object) -> bool:
        """Tell whether `mark` made *mark* for these *parts*, under any of the keys."""
        return any(hmac.compare_digest(mark.encode(), self._mark(key, parts).encode()) for key in self._keys.values())

    def _seal(self, kind: str, name: str, data: bytes, nonce: bytes) -> bytes:
        text = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(data, _label(kind, name), nonce, self._current)
        return self._current_id + nonce + text

    @staticmethod
    def _mark(key: bytes, parts: Sequence[object]) -> str:
        texts = [str(part).encode() for part in parts]
        # with their lengths, so that nothing can be moved from one part into the next
        told = b"".join([b"%d:%b" % (len(text), text) for text in texts])
        digest = hashlib.blake2b(told, key=key, person=b"fleethand mark", digest_size=_MAC_BYTES)
        return base64.b64encode(digest.digest()).decode()


def _label(kind: str, name: str) -> bytes:
    return f"{kind}\0{name}".encode()


def _key_id(key: bytes) -> bytes:
    return hashlib.blake2b(key, person=b"fleethand vault", digest_size=_ID_BYTES).digest()
