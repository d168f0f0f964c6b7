"""TLS settings: what is refused before anything connects, and what an error of TLS tells a person to do."""

import ssl
from pathlib import Path

import pytest

from fleethand_common.errors import SettingsError
from fleethand_common.tls import explained, ssl_options

NONE = {"ca_certs": "", "certfile": "", "keyfile": ""}


def test_server_and_its_name_are_always_checked_over_tls() -> None:
    """Also without any file: then by the authorities of the system."""
    assert {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True} == ssl_options("rediss://h:1/0", **NONE)
    assert ssl_options("redis://h:1/0", **NONE) is None


def test_files_are_handed_over_by_the_names_that_redis_py_knows(tmp_path: Path) -> None:
    """All three."""
    paths = {name: str(tmp_path / name) for name in NONE}
    for path in paths.values():
        Path(path).touch()

    options = ssl_options("rediss://h:1/0", **paths)

    assert options is not None
    assert {f"ssl_{name}": path for name, path in paths.items()}.items() <= options.items()


def test_file_that_cannot_be_read_is_named() -> None:
    """Before anything connects."""
    with pytest.raises(SettingsError, match=r"'/no/such\.pem', which tls_ca_certs names"):
        ssl_options("rediss://h:1/0", **{**NONE, "ca_certs": "/no/such.pem"})


def test_files_without_tls_are_refused() -> None:
    """Who names a certificate believes that the way is encrypted."""
    with pytest.raises(SettingsError, match="nothing would be encrypted"):
        ssl_options("redis://h:1/0", **{**NONE, "certfile": __file__})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Connection closed by server.", "rediss://"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "write redis://"),
        ("certificate verify failed: Hostname mismatch", "a name in the URL"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate in certificate chain", "FLEETHAND_TLS_CA_CERTS"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]", "FLEETHAND_TLS_CERTFILE"),
    ],
)
def test_error_of_tls_says_what_to_do(text: str, hint: str) -> None:
    """OpenSSL's own words name no setting."""
    assert hint in explained(ConnectionError(text))
    assert text in explained(ConnectionError(text))


def test_other_error_is_left_as_it_is() -> None:
    """No hint where none fits."""
    assert "Error 111 connecting to h:1." == explained(ConnectionError("Error 111 connecting to h:1."))
