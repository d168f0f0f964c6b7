"""The folder that an embedded stack lives in: its paths, its password and what is known about what runs there."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleethand_common.errors import SettingsError
from fleethand_dispatcher.stack.processes import Identity


def default_data_dir() -> Path:
    """Return the folder that is used when neither --data nor FLEETHAND_DATA names one."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "fleethand"


@dataclass(frozen=True, kw_only=True)
class ComponentState:
    """One process of the stack, as its keeper last saw it."""

    name: str
    role: str
    state: str
    """`running`, `restarting` or `stopped`."""
    process: Identity | None = None
    restarts: int = 0
    exit_code: int | None = None


@dataclass(frozen=True, kw_only=True)
class StackState:
    """What runs in a data folder; holds no password."""

    keeper: Identity
    server: str
    dashboard_url: str | None
    workers: int
    components: tuple[ComponentState, ...] = ()

    def alive(self) -> bool:
        """Tell whether the keeper lives; without it the rest are leftovers."""
        return self.keeper.alive()

    def server_port(self) -> int:
        """Return the port of the server; 0 while it is not known."""
        return urlsplit(self.server).port or 0

    def dashboard_port(self) -> int | None:
        """Return the port of the dashboard, None if there is none."""
        return urlsplit(self.dashboard_url).port if self.dashboard_url else None

    def processes(self, *roles: str) -> list[Identity]:
        """Return what was started in these roles, in any role if none is named, and lives."""
        found = [c.process for c in self.components if not roles or c.role in roles]
        return [process for process in found if process is not None and process.alive()]


class DataDir:
    """Paths and small files of one data folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.valkey = self.path / "valkey"
        self.logs = self.path / "log"
        self.workers = self.path / "workers"
        self.keys = self.path / "keys"
        self._state = self.path / "stack.json"
        self._server = self.valkey / "server.json"

    def create(self) -> None:
        """Make the folder.

        Raises:
            SettingsError: it cannot be made or written.
        """
        try:
            self.workers.mkdir(parents=True, exist_ok=True)
            for private in (self.valkey, self.logs):
                private.mkdir(mode=0o700, exist_ok=True)
            write_private(self.path / ".writable", "")
            (self.path / ".writable").unlink()
        except OSError as error:
            raise SettingsError(
                f"cannot use the data folder {self.path}: {error.strerror}; name another one with --data"
            ) from error

    def was_used(self) -> bool:
        """Tell whether a stack was ever started here; another folder must not get so much as a lock."""
        return (self.path / "up.lock").exists()

    def log(self, component: str) -> Path:
        """Return the file that *component* writes its output to."""
        return self.logs / f"{component}.log"

    def worker_state(self, name: str) -> Path:
        """Return the state folder of a local worker."""
        return self.workers / name

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[bool]:
        """Hold the lock *name* of this folder; yields False if another process holds it."""
        with (self.path / f"{name}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def password(self) -> str:
        """Return the server's password; the first call makes one up."""
        return str(self._server_facts()["password"])

    def port(self) -> int | None:
        """Return the port that the server used last."""
        port = self._server_facts().get("port")
        return int(port) if port else None

    def keep_port(self, port: int) -> None:
        """Remember the server's port for the next start."""
        write_private(self._server, json.dumps({**self._server_facts(), "port": port}))

    def redis_url(self, port: int) -> str:
        """Return the URL of the embedded server, with the password of its own user, who may do everything."""
        return f"redis://:{self.password()}@127.0.0.1:{port}/0"

    def keep_dispatcher(self, login: str) -> None:
        """Remember `user:password` of the dispatcher's user."""
        write_private(self._server, json.dumps({**self._server_facts(), "dispatcher": login}))

    def dispatcher_url(self, port: int) -> str:
        """Return the URL that the API and the command line use: the dispatcher's user, once there is one."""
        login = self._server_facts().get("dispatcher")
        return f"redis://{login}@127.0.0.1:{port}/0" if login else self.redis_url(port)

    def _server_facts(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._server.read_text()))
        except FileNotFoundError:
            facts: dict[str, Any] = {"password": secrets.token_urlsafe(32)}
            write_private(self._server, json.dumps(facts))
            return facts

    def read_state(self) -> StackState | None:
        """Return what runs here by the keeper's last word, or None if it was stopped in order or never started."""
        try:
            return _state_from(json.loads(self._state.read_text()))
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise SettingsError(f"cannot read {self._state}: it belongs to another user") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"cannot read {self._state}: {error}; stop what runs there, then remove the file"
            ) from error

    def write_state(self, state: StackState) -> None:
        """Replace the recorded state in one step."""
        write_private(self._state, json.dumps(asdict(state), indent=2) + "\n")

    def forget_state(self) -> None:
        """Record that nothing runs."""
        self._state.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def _identity(raw: dict[str, Any] | None) -> Identity | None:
    return None if raw is None else Identity(**raw)


def _state_from(raw: dict[str, Any]) -> StackState:
    components = [ComponentState(**{**c, "process": _identity(c["process"])}) for c in raw.pop("components")]
    state = StackState(**{**raw, "keeper": Identity(**raw["keeper"])})
    return replace(state, components=tuple(components))


def resolve_redis_url(data: Path, *, admin: bool = False) -> str:
    """Return the URL, with the password, of the server that runs in *data*.

    Args:
        admin: for the server's own user, who may do everything, and not for the dispatcher's.

    Raises:
        SettingsError: no stack runs there.
    """
    folder = DataDir(data)
    state = folder.read_state()
    if state is None or not state.processes("server"):
        raise SettingsError(
            f"cannot find a running stack in {folder.path}: start one with `fleethand up --data {folder.path}`,"
            " or name a server with --redis-url (FLEETHAND_REDIS_URL)"
        )
    return folder.redis_url(state.server_port()) if admin else folder.dispatcher_url(state.server_port())
