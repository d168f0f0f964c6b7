"""Who signs: a key in this process, or a program that holds it, such as the client of a hardware module or an agent.

The program is started once and spoken to in lines of Base64: it answers `public` with its public key, and every other
line, which is a statement, with its signature. It must check nothing; what it must do is keep the key.
"""

import base64
import subprocess
import threading
from collections.abc import Sequence
from typing import Protocol

from fleethand_common import signing
from fleethand_common.errors import FleethandError
from fleethand_common.signing import PublicKey


class SignerError(FleethandError):
    """Cannot sign."""

    code = "Signer"


class Signer(Protocol):
    """Signs statements with one key."""

    key: PublicKey

    def sign(self, stated: bytes) -> bytes:
        """Return the signature of a statement.

        Raises:
            SignerError: there is none to be had.
        """
        ...


class SeedSigner:
    """Signs with a key in this process."""

    def __init__(self, key: PublicKey, seed: bytes) -> None:
        self.key = key
        self._secret = signing.pair_of(seed).secret

    def sign(self, stated: bytes) -> bytes:
        """See `Signer`."""
        return signing.sign(stated, self._secret)


class CommandSigner:
    """Signs by a program, which is started when it is first needed and again if it has ended."""

    def __init__(self, key: PublicKey, command: Sequence[str]) -> None:
        self.key = key
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @staticmethod
    def public_key_of(command: Sequence[str]) -> bytes:
        """Ask a program for its public key.

        Raises:
            SignerError: it has none.
        """
        nobody = PublicKey(key_id="", name="", public=b"")
        signer = CommandSigner(nobody, command)
        try:
            return signer.ask(b"public")
        finally:
            signer.close()

    def sign(self, stated: bytes) -> bytes:
        """See `Signer`; what the program answers is checked, so that nothing goes out that no host would take."""
        signature = self.ask(base64.b64encode(stated))
        if not signing.is_signed_by(stated, signature, self.key.public):
            raise SignerError(f"cannot sign with {self._command[0]}: its answer is not a signature of {self.key.name}")
        return signature

    def ask(self, line: bytes) -> bytes:
        """Send one line and return the answer, decoded.

        Raises:
            SignerError: the program cannot be started, has ended, or answers something else than Base64.
        """
        with self._lock:
            try:
                process = self._running()
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(line + b"\n")
                process.stdin.flush()
                answer = process.stdout.readline().strip()
                decoded = base64.b64decode(answer, validate=True)
            except (OSError, ValueError) as error:
                raise SignerError(f"cannot sign with {self._command[0]}: {error}") from error
        if not decoded:
            raise SignerError(f"cannot sign with {self._command[0]}: it ended without an answer")
        return decoded

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process

    def close(self) -> None:
        """End the program."""
        if self._process is not None:
            self._process.communicate()
            self._process = None
