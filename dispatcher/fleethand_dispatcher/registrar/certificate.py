"""The certificate of the registration service: an operator's, or one that it makes for itself at its first start."""

import hashlib
import ipaddress
import socket
import ssl
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleethand_common import clock
from fleethand_common.enrolling import PIN_PREFIX
from fleethand_common.errors import FleethandError, SettingsError
from fleethand_dispatcher.keyring import write_secret
from fleethand_dispatcher.settings import Settings

_FOLDER = "registrar"
_LIFE = timedelta(days=3650)
_A_DAY = timedelta(days=1)
"""A host whose clock is a little behind must not refuse a new certificate."""


class Certificate:
    """A certificate and its key, as files."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key

    @classmethod
    def of(cls, settings: Settings) -> "Certificate":
        """Return the certificate that *settings* name; without one, make it in the keys folder, once.

        Raises:
            FleethandError: it cannot be made.
        """
        if bool(settings.registrar_cert) != bool(settings.registrar_key):
            raise SettingsError("cannot use registrar_cert without registrar_key, nor the other way round")
        if settings.registrar_cert:
            return cls(Path(settings.registrar_cert), Path(settings.registrar_key))
        folder = settings.keys_path() / _FOLDER
        made = cls(folder / "tls.crt", folder / "tls.key")
        if not made._cert.exists():
            made._make(_names(settings))
        return made

    def context(self) -> ssl.SSLContext:
        """Return what a server needs to speak TLS with it.

        Raises:
            SettingsError: it cannot be read.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self._cert, self._key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"cannot use the certificate {self._cert} with {self._key}: {error}") from error
        return context

    def pin(self) -> str:
        """Return by what a host recognises it: the SHA-256 of the certificate itself."""
        der = x509.load_pem_x509_certificate(self._cert.read_bytes()).public_bytes(serialization.Encoding.DER)
        return PIN_PREFIX + hashlib.sha256(der).hexdigest()

    def _make(self, names: list[str]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fleethand registration")])
        now = clock.to_datetime(clock.wall_ms())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _A_DAY)
            .not_valid_after(now + _LIFE)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        plain = serialization.NoEncryption()
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        try:
            self._key.parent.mkdir(mode=0o700, exist_ok=True)
            write_secret(self._key, secret)
            write_secret(self._cert, certificate.public_bytes(serialization.Encoding.PEM))
        except OSError as error:
            raise FleethandError(f"cannot make a certificate in {self._key.parent}: {error.strerror}") from error


def _names(settings: Settings) -> list[str]:
    host = urlsplit(settings.registrar_url).hostname
    return list(dict.fromkeys([*([host] if host else []), socket.gethostname(), "localhost", "127.0.0.1"]))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
