"""The way to the registration service: HTTPS only, to just the service that an operator named, and nowhere else."""

import functools
import hashlib
import hmac
import http.client
import random
import ssl
import time
import urllib.error
import urllib.request
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from fleethand_common import enrolling
from fleethand_common.enrolling import BODY_BYTES_MAX, PIN_PREFIX, Refused
from fleethand_common.errors import FleethandError

T = TypeVar("T")

_TIMEOUT_S = 30.0
_ATTEMPTS = 6
_PAUSE_S = 0.5
_LATER = (409, 429, 502, 503, 504)
"""What may be otherwise in a moment; a machine that is registered already is not."""
_PIN_CHARS = 64


class RegistrationError(FleethandError):
    """Cannot come to terms with the registration service."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _WrongPinError(ssl.SSLError):
    """The service shows another certificate than the one that was pinned."""


class _PinnedConnection(http.client.HTTPSConnection):
    """A connection that is given up before a byte of the request is sent, if the certificate is another."""

    def __init__(self, *arguments: Any, pin: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pin = pin

    def connect(self) -> None:
        """Connect, and look at the certificate."""
        super().connect()
        shown = hashlib.sha256(self.sock.getpeercert(binary_form=True) or b"").hexdigest()
        if not hmac.compare_digest(shown, self._pin):
            self.close()
            raise _WrongPinError(f"its certificate is {PIN_PREFIX}{shown}")


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext, pin: str) -> None:
        super().__init__(context=context)
        self._ssl = context
        self._pin = pin

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open a connection, one that looks at the pin if there is one."""
        if not self._pin:
            return super().https_open(req)
        return self.do_open(functools.partial(_PinnedConnection, pin=self._pin), req, context=self._ssl)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        """Go nowhere else: the request holds a code."""


class RegistrationClient:
    """Speaks to one registration service.

    Args:
        url: beginning with `https://`.
        pin: `sha256:` and the digest of its certificate; then nothing else about the certificate counts.
        ca: a file of authorities instead of the system's.
        attempts: how often something is tried that may be otherwise in a moment.

    Raises:
        RegistrationError: *url*, *pin* or *ca* cannot be used.
    """

    def __init__(
        self, url: str, *, pin: str = "", ca: str = "", attempts: int = _ATTEMPTS, timeout_s: float = _TIMEOUT_S
    ) -> None:
        if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
            raise RegistrationError("InvalidUrl", f"cannot use {url!r}: hosts register over HTTPS only, https://…")
        self._url = url.rstrip("/")
        self._attempts = attempts
        self._timeout_s = timeout_s
        context = _context(pin, ca)
        self._opener = urllib.request.build_opener(_Https(context, _digest(pin)), _NoRedirect)

    def ask(self, path: str, message: msgspec.Struct, kind: type[T]) -> T:
        """Send a message and return the answer.

        Raises:
            RegistrationError: it was refused, with the service's code, or there is no way to the service.
        """
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url + path, enrolling.encode(message), {"Content-Type": "application/json"}, method="POST"
        )
        for attempt in range(1, self._attempts + 1):
            try:
                return self._ask_once(request, kind)
            except _TryLaterError as error:
                if attempt == self._attempts:
                    raise RegistrationError(error.code, str(error)) from error
                time.sleep(_PAUSE_S * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - spreads load, hides nothing
        raise AssertionError("the last attempt returns or raises")

    def _ask_once(self, request: urllib.request.Request, kind: type[T]) -> T:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                return msgspec.json.decode(response.read(BODY_BYTES_MAX), type=kind)
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLError) and not isinstance(reason, TimeoutError):
                raise RegistrationError("NotTrusted", _distrust(self._url, reason)) from error
            raise _TryLaterError("Unreachable", f"cannot reach {self._url}: {reason}") from error
        except msgspec.DecodeError as error:
            raise RegistrationError("BadAnswer", f"cannot read the answer of {self._url}: {error}") from error


class _TryLaterError(RegistrationError):
    """It may be otherwise in a moment."""


def _refused(error: urllib.error.HTTPError) -> RegistrationError:
    try:
        said = msgspec.json.decode(error.read(BODY_BYTES_MAX), type=Refused)
    except (OSError, msgspec.DecodeError):
        said = Refused(code="BadAnswer", message=f"the answer has HTTP status {error.code}")
    is_final = error.code not in _LATER or said.code == "Registration.MachineRegistered"
    kind = RegistrationError if is_final else _TryLaterError
    return kind(said.code, said.message)


def _context(pin: str, ca: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise RegistrationError("InvalidCa", f"cannot use the authorities in {ca}: {error}") from error
    if pin:  # the certificate itself is known, so neither who signed it nor what it is called adds anything
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _digest(pin: str) -> str:
    digest = pin.removeprefix(PIN_PREFIX).replace(":", "").lower()
    if pin and (len(digest) != _PIN_CHARS or set(digest) - set("0123456789abcdef")):
        raise RegistrationError("InvalidPin", f"cannot use the pin {pin!r}: it must be {PIN_PREFIX} and 64 hex digits")
    return digest


def _distrust(url: str, reason: ssl.SSLError) -> str:
    text = str(reason) if isinstance(reason, _WrongPinError) else reason.reason or str(reason)
    return (
        f"cannot trust {url}: {text}; nothing was sent. Compare --pin with what `fleethand activation create` prints,"
        " or name the authorities with --ca"
    )
