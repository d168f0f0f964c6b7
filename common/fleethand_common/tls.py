"""TLS to the server, the same on both sides: what is checked, what is shown, and what an error of it means."""

import os
import ssl
from collections.abc import Mapping
from typing import Any

from fleethand_common.errors import SettingsError

_SCHEME = "rediss://"
_CUT_OFF = (
    "if the server speaks TLS, the URL needs rediss://, and if it asks for certificates,"
    " FLEETHAND_TLS_CERTFILE and FLEETHAND_TLS_KEYFILE must name one that it knows the authority of"
)
_PLAIN = "this is no port for TLS; write redis:// in the URL, or name the other port"
_HINTS: Mapping[str, str] = {
    "WRONG_VERSION_NUMBER": _PLAIN,
    "RECORD_LAYER_FAILURE": _PLAIN,
    "Hostname mismatch": "use a name in the URL that the server's certificate holds",
    "IP address mismatch": "use an address in the URL that the server's certificate holds",
    "CERTIFICATE_VERIFY_FAILED": "name the authority of the server's certificate: FLEETHAND_TLS_CA_CERTS",
    **dict.fromkeys(("ALERT_CERTIFICATE_REQUIRED", "ALERT_UNKNOWN_CA", "EOF occurred in violation"), _CUT_OFF),
    **dict.fromkeys(("closed by server", "Connection reset by peer"), _CUT_OFF),
}
"""What stands in an error, and what to do; the first that fits counts."""


def ssl_options(url: str, *, ca_certs: str, certfile: str, keyfile: str) -> dict[str, Any] | None:
    """Return redis-py's options for the server at *url*; None where its URL asks for no TLS.

    The server's certificate and name are always checked; without *ca_certs* with the authorities of the system.

    Raises:
        SettingsError: a file cannot be read, or nothing would be encrypted though files are given.
    """
    given = {"ca_certs": ca_certs, "certfile": certfile, "keyfile": keyfile}
    files = {name: path for name, path in given.items() if path}
    if not url.startswith(_SCHEME):
        if files:
            raise SettingsError(
                f"cannot use tls_{next(iter(files))} with this redis_url: nothing would be encrypted;"
                f" write {_SCHEME} in the URL, or leave the tls settings out"
            )
        return None
    for name, path in files.items():
        if not os.access(path, os.R_OK):
            raise SettingsError(f"cannot read {path!r}, which tls_{name} names")
    return {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,  # kombu's default checks nothing
        "ssl_check_hostname": True,
        **{f"ssl_{name}": path for name, path in files.items()},
    }


def explained(error: Exception) -> str:
    """Return the error's text, with what to do if it is about TLS."""
    text = str(error)
    hint = next((hint for mark, hint in _HINTS.items() if mark in text), "")
    return f"{text}; {hint}" if hint else text
