"""A fleet in which every part has a Redis user of its own, and what the server refused them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from fleet import DURABLE, Fleet
from fleethand_dispatcher.dispatcher import Dispatcher
from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.redis_users import RedisUser, RedisUsers
from fleethand_dispatcher.settings import Settings
from processes import BIN, Program, Programs, clean_environment
from servers import running_server


class Guarded:
    """A fleet, and the users that its parts log in with."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.admin = redis.Redis.from_url(fleet.server.url)
        self.users = RedisUsers(self.admin)
        self._urls: dict[str, str] = {}

    def url(self, part: Role | str) -> str:
        """Return the URL of a role or, for another word, of the host that is called so; its user is made if need be."""
        if part not in self._urls:
            user = self.users.create_role(part) if isinstance(part, Role) else self.users.create_host(part)
            self._urls[part] = user.url(self.fleet.server.url)
            assert self.users.save()
        return self._urls[part]

    def environ(self, role: Role) -> dict[str, str]:
        """Return the settings of a part of the control plane."""
        settings = {**self.fleet.plane_settings, "redis_url": self.url(role)}
        return {f"FLEETHAND_{name.upper()}": str(value) for name, value in settings.items()}

    def start(self, role: Role, *argv: str | Path, **settings: Any) -> Program:
        """Start a part of the control plane."""
        environ = self.environ(role) | {f"FLEETHAND_{name.upper()}": str(value) for name, value in settings.items()}
        return self.fleet.programs.start(*argv, name=role, environ=environ)

    def aggregator(self) -> Program:
        """Start an aggregator."""
        return self.start(Role.AGGREGATOR, BIN / "fleethand", "aggregator")

    def beat(self, **settings: Any) -> Program:
        """Start a beat."""
        celery = ("celery", "-A", "fleethand_dispatcher.celery_app", "beat", "--loglevel=INFO")
        return self.start(Role.BEAT, BIN / celery[0], *celery[1:], **settings)

    def worker(self, instance_id: str) -> Program:
        """Start a worker, or the same one again."""
        return self.fleet.worker(instance_id, redis_url=self.url(instance_id))

    def dispatcher(self) -> Dispatcher:
        """Return the Python API; close it."""
        return Dispatcher(settings=Settings(redis_url=self.url(Role.DISPATCHER), **self.fleet.plane_settings))

    def cli(self, *arguments: str, url: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run the command line as the dispatcher's user, or by another URL."""
        environ = self.environ(Role.DISPATCHER) | ({"FLEETHAND_REDIS_URL": url} if url else {})
        return subprocess.run(
            [BIN / "fleethand", *arguments],
            env=clean_environment(**environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def denied(self) -> list[str]:
        """Return what the server refused, each once: the user, and the command, key or channel."""
        entries = self.admin.acl_log(count=128)
        texts = (f"{e['username']} may not use the {e['reason']} {e['object']!r} ({e['context']})" for e in entries)
        return sorted(set(texts))

    def close(self) -> None:
        """Close the connection."""
        self.admin.close()


@contextmanager
def guarded_fleet(folder: Path, **settings: Any) -> Iterator[Guarded]:
    """Run a server that keeps its users, with a fleet on it that has nothing in it yet."""
    aclfile = folder / "valkey" / "users.acl"
    aclfile.parent.mkdir(parents=True)
    aclfile.touch()
    programs = Programs(folder / "programs")
    with running_server(folder / "valkey", arguments=(*DURABLE, "--aclfile", str(aclfile))) as server:
        guarded = Guarded(Fleet(folder, server, programs, **settings))
        try:
            yield guarded
        finally:
            guarded.close()
            guarded.fleet.close()
            programs.kill_all()


def allowed_words(rules: list[str]) -> set[str]:
    """Return the commands that rules allow, wherever."""
    return {word.strip("()+") for rule in rules for word in rule.split() if word.strip("(").startswith("+")}


def every_command(client: "redis.Redis") -> dict[str, int]:
    """Return each command and subcommand of a server that a user can be refused, with how many words it wants."""
    found: dict[str, int] = {}
    for command in _raw(client, "COMMAND"):
        for name, arity, flags in ((c[0].decode(), c[1], c[2]) for c in (command[9] or [command])):
            if b"no_auth" not in {flag.lstrip(b"+") if isinstance(flag, bytes) else flag for flag in flags}:
                found[name] = abs(arity)
    return found


def is_refused(client: "redis.Redis", command: str, words: int) -> bool:
    """Tell whether the server does not let this user run a command, called with so many words."""
    return "NOPERM" in _answer(client, *_padded(command.split("|"), words))


def refusal_of(client: "redis.Redis", *command: str) -> str:
    """Return the server's error for one command; empty if it took it."""
    return _answer(client, *command)


def _padded(words: list[str], count: int) -> list[str]:
    return words + ["1"] * (count - len(words))


def _answer(client: "redis.Redis", *words: str) -> str:
    try:
        _raw(client, *words)
    except redis.ResponseError as error:
        return f"NOPERM {error}" if isinstance(error, redis.exceptions.NoPermissionError) else str(error)
    return ""


def _raw(client: "redis.Redis", *words: str) -> Any:
    """Send a command as it is and return the answer as it is: redis-py knows some commands too well."""
    connection: Any = client.connection_pool.get_connection()
    try:
        connection.send_command(*words)
        return connection.read_response()
    finally:
        client.connection_pool.release(connection)


def client_of(user: RedisUser, server_url: str) -> "redis.Redis":
    """Return a client that logs in as a user; close it."""
    return redis.Redis.from_url(user.url(server_url), socket_timeout=5, protocol=2)
