"""Who this host is and whom it trusts: small files in the state folder, which only the worker's user can read.

`hybrid/identity.json` is the identity; `config/task_sign_certs/<key id>.json` is a key that orders may be signed with;
`config/directive.json` is the directive in force, whose keys those are; `config/floor` is the time of the latest signed
message.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from fleethand_common.credentials import (
    PROVISION_FILE,
    Credentials,
    Provision,
    decode_credentials,
    decode_provision,
    decode_public_key,
)
from fleethand_common.errors import FleethandError
from fleethand_common.messages import Directive, decode_directive
from fleethand_common.signing import PublicKey


class NotEnrolledError(FleethandError):
    """Cannot start: this host is not enrolled."""

    code = "NotEnrolled"


class PendingRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """A registration that was begun: what it takes to end it, also after a kill."""

    url: str
    pin: str
    ca: str
    activation_id: str
    enrolment_id: str
    box_secret: bytes
    control_public: bytes
    nonce: bytes
    machine_id: str
    fingerprint: str


class CredentialFiles:
    """The files of one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._identity = state_dir / "hybrid" / "identity.json"
        self._pending = state_dir / "hybrid" / "pending.json"
        self._certs = state_dir / "config" / "task_sign_certs"
        self._directive = state_dir / "config" / "directive.json"
        self._floor = state_dir / "config" / "floor"

    def load(self) -> Credentials:
        """Return this host's identity; one that was put into the folder since is taken in first.

        Raises:
            NotEnrolledError: there is none, or it cannot be read.
        """
        offered = self._state_dir / PROVISION_FILE
        try:
            if offered.exists():
                self.install(decode_provision(offered.read_bytes()))
                offered.unlink()
            return decode_credentials(self._identity.read_bytes())
        except FileNotFoundError:
            raise NotEnrolledError(
                f"cannot start: there is no identity in {self._state_dir}; enrol this host with"
                f" `fleethand-worker register`, or put the file that `fleethand instance provision` wrote"
                f" there as {PROVISION_FILE}"
            ) from None
        except (OSError, msgspec.DecodeError) as error:
            raise NotEnrolledError(f"cannot read the identity in {self._state_dir}: {error}") from error

    def exists(self) -> bool:
        """Tell whether this host has an identity."""
        return self._identity.exists()

    def install(self, provision: Provision) -> None:
        """Write an identity and the keys to trust; what was there before is replaced, and the directive is void.

        Raises:
            OSError: it cannot be written.
        """
        self._directive.unlink(missing_ok=True)
        self.write_keys(provision.keys)
        self.write_identity(provision.credentials)

    def write_identity(self, credentials: Credentials) -> None:
        """Write the identity alone."""
        _write(self._identity, msgspec.json.format(msgspec.json.encode(credentials)))

    def write_keys(self, keys: list[PublicKey]) -> None:
        """Trust these keys from now on, and no other."""
        for key in keys:
            _write(self._certs / f"{key.key_id}.json", msgspec.json.format(msgspec.json.encode(key)))
        known = {f"{key.key_id}.json" for key in keys}
        for path in self._certs.glob("*.json"):
            if path.name not in known:
                path.unlink(missing_ok=True)

    def trusted_keys(self) -> list[PublicKey]:
        """Return the keys that orders may be signed with; a file that is none is left out."""
        found = []
        for path in sorted(self._certs.glob("*.json")):
            with suppress(OSError, msgspec.DecodeError):
                found.append(decode_public_key(path.read_bytes()))
        return found

    def pending(self) -> PendingRegistration | None:
        """Return the registration that was begun and not ended, None if there is none that can be read."""
        try:
            return msgspec.json.decode(self._pending.read_bytes(), type=PendingRegistration)
        except (OSError, msgspec.DecodeError):
            return None

    def write_pending(self, pending: PendingRegistration) -> None:
        """Keep what it takes to end a registration."""
        _write(self._pending, msgspec.json.encode(pending))

    def drop_pending(self) -> None:
        """Forget a registration that was begun."""
        self._pending.unlink(missing_ok=True)

    def directive(self) -> Directive | None:
        """Return the directive in force, None if there was none yet."""
        with suppress(OSError, msgspec.DecodeError):
            return decode_directive(self._directive.read_bytes())
        return None

    def write_directive(self, directive: Directive) -> None:
        """Follow a directive, and trust its keys and no other.

        The directive goes first: whoever starts after a crash in between takes the keys from it.

        Raises:
            OSError: it cannot be written.
        """
        _write(self._directive, msgspec.json.format(msgspec.json.encode(directive)))
        self.write_keys(directive.keys)

    def floor_ms(self) -> int:
        """Return the time that is proven to have come, 0 if none was written down."""
        with suppress(OSError, ValueError):
            return int(self._floor.read_text())
        return 0

    def write_floor(self, at_ms: int) -> None:
        """Write down the time that is proven to have come.

        Raises:
            OSError: it cannot be written.
        """
        _write(self._floor, str(at_ms).encode())

    def remove(self) -> None:
        """Forget who this host was, and whom it trusted."""
        self._identity.unlink(missing_ok=True)
        self.drop_pending()
        self._directive.unlink(missing_ok=True)
        self.write_keys([])


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
