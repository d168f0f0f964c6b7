"""A server that speaks TLS only, which the embedded one cannot, and a wire-tap before it."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from authority import Authority, Pair
from processes import Program, clean_environment
from servers import free_port
from waiting import wait_until

HOW = "install redis-server, or redis-tools, which has the same program without its service"


def redis_server(folder: Path) -> Path:
    """Return Debian's server, under its own name in *folder*; without one the test is skipped, in CI it fails."""
    found = shutil.which("redis-server") or shutil.which("redis-check-rdb")  # one program, which looks at its name
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"there is no redis-server here: {HOW}")
    link = folder / "redis-server"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(found)
    return link


class TlsServer:
    """A running server; clients must show a certificate."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.authority = authority
        self.ours = authority.sign("control")
        self.port = 0
        self._pair = authority.sign("server", names=("localhost",))
        self._folder = folder
        self._binary = redis_server(folder)

    def start(self) -> Program:
        """Start it and wait until it serves."""
        self.port = free_port()
        users = self._folder / "users.acl"
        users.touch()
        files = {"tls-cert-file": self._pair.cert, "tls-key-file": self._pair.key, "aclfile": users}
        files |= {"tls-ca-cert-file": self.authority.cert, "dir": self._folder}
        words = [word for name, path in files.items() for word in (f"--{name}", path)]
        argv = [self._binary, "--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "yes", "--save", ""]
        log = self._folder / "server.log"
        program = Program([*argv, *words], environ=clean_environment(), log=log, cwd=self._folder)
        wait_until(lambda: self._answers() or not program.is_running, 20, "the server's PONG")
        assert program.is_running, log.read_text()
        return program

    def url(self, port: int | None = None) -> str:
        """Return the server's URL, or that of what stands before it."""
        return f"rediss://localhost:{port or self.port}/0"

    def client(self) -> "redis.Redis":
        """Return a client of the server's own user; close it."""
        return redis.Redis.from_url(
            self.url(),
            ssl_ca_certs=str(self.authority.cert),
            ssl_certfile=str(self.ours.cert),
            ssl_keyfile=str(self.ours.key),
            protocol=2,
        )

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


def tls_settings(authority: Authority, pair: Pair | None) -> dict[str, str]:
    """Return the settings of a program that trusts an authority and shows a certificate."""
    files = {"tls_certfile": str(pair.cert), "tls_keyfile": str(pair.key)} if pair else {}
    return {"tls_ca_certs": str(authority.cert), **files}


class WireTap:
    """Forwards connections and keeps every byte, both ways."""

    def __init__(self, target: int) -> None:
        self.seen = bytearray()
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                outer = socket.create_connection(("127.0.0.1", self._target))
                for source, sink in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            while data := source.recv(65_536):
                self.seen += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire_tap(target: int) -> Iterator[WireTap]:
    """Tap the way to a port of this machine."""
    tap = WireTap(target)
    try:
        yield tap
    finally:
        tap.close()
