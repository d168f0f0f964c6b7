"""Ways to try what a Redis user is refused."""

from typing import Any

import redis

from fleethand_dispatcher.redis_users import RedisUser


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
