"""Who stands at the registration service's door with nothing good in mind, or with nothing at all."""

import http.client
import shutil
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fleethand_common import enrolling
from fleethand_dispatcher.keyring import Keyring
from processes import Programs
from registrar import Registrar
from waiting import wait_until

GARBAGE = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"activation_id": 1}',
    b'{"activation_id": "x", "activation_code": "y", "box_public": "AAAA"}',
    b'{"activation_id": "x", "activation_code": "y", "box_public": "%s", "extra": 1}' % (b"A" * 43 + b"="),
    b'{"activation_id": "%s", "activation_code": "y", "box_public": "%s"}' % (b"x" * 300, b"A" * 43 + b"="),
    b"\xff\xfe\x00",
    b"[" * 60_000,
)


def test_garbage_is_refused_and_harms_nobody(registrar: Registrar) -> None:
    """With 400, on every path."""
    for path in (enrolling.REGISTER_PATH, enrolling.CONFIRM_PATH, enrolling.DEREGISTER_PATH, enrolling.STATUS_PATH):
        for body in GARBAGE:
            answer = registrar.post(path, body)
            assert (answer.status, answer.code) == (400, "Registration.Malformed"), (path, body[:80])
    assert registrar.post("/etc/passwd", b"{}").status == 404
    assert works(registrar)


def test_body_that_is_too_large_is_not_read(registrar: Registrar) -> None:
    """5 MB are refused by their length alone, and no more than a little of them is ever held."""
    with open_tls(registrar) as connection:
        connection.sendall(b"POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        assert ended(connection)
    with open_tls(registrar) as connection:
        connection.sendall(b"POST /v1/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):
            for _ in range(100):
                connection.sendall(b"c350\r\n" + b"x" * 50_000 + b"\r\n")
        assert ended(connection)
    assert works(registrar)


def test_who_says_nothing_is_hung_up_on(make_registrar: Any) -> None:
    """Whether before TLS, in the headers or in the body; meanwhile others are served."""
    registrar = make_registrar(registrar_timeout_s=0.5)
    silent = [socket.create_connection(("127.0.0.1", registrar.port)) for _ in range(20)]
    slow = [open_tls(registrar) for _ in range(2)]
    slow[0].sendall(b"POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-")
    slow[1].sendall(b"POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

    assert works(registrar)
    for stranger in (*silent, *slow):
        stranger.settimeout(10)
        assert ended(stranger)


def test_connections_are_bounded(make_registrar: Any) -> None:
    """One too many is closed at once, and those that go make place."""
    registrar = make_registrar(registrar_connections_max=3)
    held = [open_tls(registrar) for _ in range(3)]

    assert not works(registrar)
    for connection in held:
        connection.close()
    wait_until(lambda: works(registrar), 10, "a free place")


def test_plain_http_is_not_spoken(registrar: Registrar) -> None:
    """There is no port on which a code could be read on its way."""
    connection = http.client.HTTPConnection("127.0.0.1", registrar.port, timeout=10)
    connection.request("GET", enrolling.HEALTH_PATH)

    with pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse()


def test_health_says_no_when_the_records_are_away(programs: Programs, keyring: Keyring, own_server: Any) -> None:
    """With 503, as has every other request; and yes again afterwards."""
    registrar = Registrar(programs, own_server.url, keyring)
    assert works(registrar)
    own_server.kill()
    assert not works(registrar)
    assert registrar.post(enrolling.STATUS_PATH, nobody()).status == 503
    own_server.start()
    wait_until(lambda: works(registrar), 10, "the health of the service")


def test_service_that_cannot_tell_whom_to_trust_does_not_start(
    programs: Programs, redis_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    """It needs the public halves of the signing keys, and none of the secret ones."""
    folder = tmp_path / "keys"
    shutil.copytree(keyring.folder, folder)
    shutil.rmtree(folder / "signing")
    assert Registrar(programs, redis_url, Keyring.load(folder)).pin

    shutil.rmtree(folder / "public")
    with pytest.raises(AssertionError, match="cannot enrol hosts"):
        Registrar(programs, redis_url, Keyring.load(folder))


def nobody() -> enrolling.HostRequest:
    """Return a request of a host that is not enrolled."""
    return enrolling.HostRequest(instance_id="mi-nobody", sealed=b"")


def context() -> ssl.SSLContext:
    """Return a client's context that trusts anybody."""
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def open_tls(registrar: Registrar) -> ssl.SSLSocket:
    """Return a connection that speaks TLS and has said nothing yet."""
    return context().wrap_socket(socket.create_connection(("127.0.0.1", registrar.port), timeout=10))


def ended(connection: socket.socket) -> bool:
    """Tell whether the other end hangs up, after whatever it still says."""
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def works(registrar: Registrar) -> bool:
    """Tell whether the service says that hosts can be enrolled."""
    connection = http.client.HTTPSConnection("127.0.0.1", registrar.port, context=context(), timeout=20)
    try:
        connection.request("GET", enrolling.HEALTH_PATH)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
