"""The control plane's keys, in a folder that only its user can read; none of them is ever in Redis.

| file | what | who needs it |
|---|---|---|
| `vault.key` | seals the records | every part of the control plane |
| `box.key` | opens reports, seals orders | every part of the control plane |
| `signing/<name>.json` | signs orders, stops and directives | who starts and stops: the API, the CLI, the beat |
| `public/<name>.json` | the public half of that key, for hosts that enrol themselves | the registration service |

An aggregator and a registration service work without `signing/`, so whoever takes one over cannot run a command.
"""

import base64
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fleethand_common import clock, sealing, signing
from fleethand_common.credentials import decode_public_key
from fleethand_common.errors import FleethandError
from fleethand_common.sealing import BoxKeys
from fleethand_common.signing import PublicKey
from fleethand_dispatcher.signer import CommandSigner, SeedSigner, Signer
from fleethand_dispatcher.vault import KEY_BYTES, Vault

AHEAD_MAX_MS = 3_600_000
_VAULT, _BOX, _SIGNING, _PUBLIC = "vault.key", "box.key", "signing", "public"


class KeyringError(FleethandError):
    """Cannot use the control plane's keys."""

    code = "Keyring"


class SigningKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that signs: its public half with its dates, and the secret, or the command that has it.

    A key that is told away with `revoked_at_ms` stays in the folder, so that hosts go on being told.
    """

    key: PublicKey
    seed: bytes = b""
    command: list[str] = []

    def is_usable(self, at_ms: int) -> bool:
        """Tell whether it may sign at this time."""
        key = self.key
        is_over = key.not_after_ms is not None and at_ms > key.not_after_ms
        is_revoked = key.revoked_at_ms is not None and at_ms >= key.revoked_at_ms
        return not is_revoked and key.not_before_ms <= at_ms and not is_over


class Keyring:
    """The keys of one control plane."""

    def __init__(
        self,
        folder: Path,
        vault: Vault,
        box: BoxKeys,
        signing_keys: Sequence[SigningKey],
        public_halves: Sequence[PublicKey] = (),
    ) -> None:
        self.folder = folder
        self.vault = vault
        self.box = box
        self.signing_keys = tuple(signing_keys)
        self._public_halves = tuple(public_halves)
        self._signers: dict[str, Signer] = {}
        self._changed_ns = self._last_change()

    @classmethod
    def create(cls, folder: Path, *, name: str = "first", command: Sequence[str] = ()) -> "Keyring":
        """Make all keys in a folder that has none, and return them.

        Args:
            command: the program that holds the signing key; without it the key is a file here.

        Raises:
            KeyringError: there are keys already, or the folder cannot be written.
        """
        if (folder / _VAULT).exists():
            raise KeyringError(f"cannot make keys in {folder}: there are some already; add one with `keys rotate`")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / _SIGNING).mkdir(mode=0o700, exist_ok=True)
            write_secret(folder / _BOX, base64.b64encode(sealing.new_box_keys().secret))
            write_secret(folder / _VAULT, base64.b64encode(os.urandom(KEY_BYTES)))
        except OSError as error:
            raise KeyringError(f"cannot make keys in {folder}: {error.strerror}") from error
        keyring = cls.load(folder)
        keyring.add(new_signing_key(name, not_before_ms=0, command=command))
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> "Keyring":
        """Read the keys of *folder*.

        Raises:
            KeyringError: they are not there, not readable, or readable by others.
        """
        vault_keys = [_decode(folder / _VAULT, line) for line in _read(folder / _VAULT).split()]
        secret = _decode(folder / _BOX, _read(folder / _BOX).strip())
        box = BoxKeys(public=sealing.public_of(secret), secret=secret)
        return cls(folder, Vault(vault_keys), box, _read_signing_keys(folder), _read_public_keys(folder))

    def add(self, key: SigningKey) -> None:
        """Keep one more signing key, or another state of one.

        Raises:
            KeyringError: it cannot be written.
        """
        path = self.folder / _SIGNING / f"{key.key.name}.json"
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            (self.folder / _PUBLIC).mkdir(mode=0o700, exist_ok=True)
            write_secret(path, msgspec.json.format(msgspec.json.encode(key)))
            write_secret(self.folder / _PUBLIC / path.name, msgspec.json.format(msgspec.json.encode(key.key)))
        except OSError as error:
            raise KeyringError(f"cannot keep the key {key.key.name} in {path.parent}: {error.strerror}") from error
        self.signing_keys = (*(k for k in self.signing_keys if k.key.name != key.key.name), key)

    def refresh(self) -> None:
        """Take in the signing keys that another process made or revoked meanwhile.

        Raises:
            KeyringError: one cannot be read.
        """
        changed_ns = self._last_change()
        if changed_ns != self._changed_ns:
            self.signing_keys = tuple(_read_signing_keys(self.folder))
            self._public_halves = tuple(_read_public_keys(self.folder))
            self._changed_ns = changed_ns

    def _last_change(self) -> int:
        """Return when a key was last put into the folder; each is written beside its place and moved there."""
        try:
            return (self.folder / _SIGNING).stat().st_mtime_ns
        except OSError:
            return 0

    def public_keys(self) -> list[PublicKey]:
        """Return the keys that hosts are told of, the revoked ones too; where nothing signs, by their public halves."""
        known = {half.name: half for half in self._public_halves}
        known |= {key.key.name: key.key for key in self.signing_keys}
        return list(known.values())

    def signer(self, at_ms: int, name: str | None = None) -> Signer:
        """Return who signs at this time: of the usable keys the one called *name*, or that became valid last.

        The time is the server's, and whoever owns the server can set it. Hosts take a signed time for a time that has
        come, for ever, so nothing is signed for a time far ahead of this machine's own.

        Raises:
            KeyringError: none may.
        """
        self.refresh()
        if at_ms > clock.wall_ms() + AHEAD_MAX_MS:
            raise KeyringError(
                f"cannot sign: the server says that it is {clock.to_text(at_ms)}, and this machine's clock"
                f" {clock.to_text(clock.wall_ms())}; set the one that is wrong"
            )
        usable = [key for key in self.signing_keys if key.is_usable(at_ms) and name in (None, key.key.name)]
        if not usable and name is not None:
            raise KeyringError(f"cannot sign with the key {name!r}: {self.folder} has no such key that is valid now")
        if not usable:
            raise KeyringError(
                f"cannot sign: {self.folder} has no signing key that is valid now;"
                " make one with `fleethand keys rotate`, or run this where the signing keys are"
            )
        chosen = max(usable, key=lambda key: (key.key.not_before_ms, key.key.name))
        key_id = chosen.key.key_id
        if key_id not in self._signers:
            self._signers[key_id] = (
                CommandSigner(chosen.key, chosen.command) if chosen.command else SeedSigner(chosen.key, chosen.seed)
            )
        return self._signers[key_id]


def new_signing_key(name: str, *, not_before_ms: int, command: Sequence[str] = ()) -> SigningKey:
    """Make a signing key, or take the one that a signer command has.

    Raises:
        SignerError: the command does not do what it must.
    """
    seed = b"" if command else os.urandom(signing.SEED_BYTES)
    public = CommandSigner.public_key_of(command) if command else signing.pair_of(seed).public
    key = PublicKey(key_id=signing.key_id_of(public), name=name, public=public, not_before_ms=not_before_ms)
    return SigningKey(key=key, seed=seed, command=list(command))


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _read(path: Path) -> bytes:
    try:
        facts = path.stat()
        if os.name == "posix" and stat.S_IMODE(facts.st_mode) & 0o077:
            raise KeyringError(f"cannot use {path}: others may read it; chmod 600 {path}")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise KeyringError(
            f"cannot find the control plane's keys: there is no {path}; make them with `fleethand keys create`,"
            " or name their folder with --keys-dir (FLEETHAND_KEYS_DIR)"
        ) from error
    except OSError as error:
        raise KeyringError(f"cannot read {path}: {error.strerror}") from error


def _decode(path: Path, text: bytes) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyringError(f"cannot use {path}: it must hold a key of {KEY_BYTES} bytes in Base64")
    return key


def _read_signing_keys(folder: Path) -> list[SigningKey]:
    return [_read_signing_key(path) for path in sorted((folder / _SIGNING).glob("*.json"))]


def _read_public_keys(folder: Path) -> list[PublicKey]:
    return [_read_public_key(path) for path in sorted((folder / _PUBLIC).glob("*.json"))]


def _read_public_key(path: Path) -> PublicKey:
    try:
        return decode_public_key(_read(path))
    except msgspec.DecodeError as error:
        raise KeyringError(f"cannot use {path}: {error}") from None


def _read_signing_key(path: Path) -> SigningKey:
    try:
        return msgspec.json.decode(_read(path), type=SigningKey)
    except msgspec.DecodeError as error:
        raise KeyringError(f"cannot use {path}: {error}") from None
