"""The connection to Redis: how it is opened, and how its failures reach a caller.

A command is sent once: redis-py would by default send it again up to ten times.
"""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from fleethand_common.errors import ServerUnavailableError, SettingsError
from fleethand_common.tls import explained

SOCKET_TIMEOUT_S = 15.0
BLOCK_S = 5.0
"""The longest that a blocking read blocks; it must stay below the socket's timeout."""

OUTAGES = (redis.ConnectionError, redis.TimeoutError)
"""The server cannot be reached; it may be back in a moment."""
SERVER_ERRORS = (redis.RedisError,)
"""Anything that the server or the way to it can do."""

_PASSING = frozenset(("LOADING", "BUSY", "MASTERDOWN", "UNBLOCKED"))
"""What a server answers that starts, that is busy with one thing, or that changes its role."""
_REFUSALS = _PASSING | {"OOM", "READONLY", "MISCONF", "NOREPLICAS", "NOAUTH", "WRONGPASS", "NOPERM"}
"""What a server answers that cannot serve now, whatever it is asked."""
_AROUND = re.compile(
    r"(?:Command # \d+ .*? of pipeline caused error: )?(?:(?:EXECABORT )?Transaction discarded because of: )?",
    re.DOTALL,
)
"""What stands before the answer itself, of redis-py in a pipeline and of the server in a transaction."""
_DENIED_IN_A_SCRIPT = "ACL failure in script"
"""The server says so instead of `NOPERM`, as if the script were at fault."""


def is_servers_fault(error: Exception) -> bool:
    """Tell whether the same request may be served later; otherwise the request itself is at fault."""
    if isinstance(error, (*OUTAGES, NoScriptError)):
        return True
    return isinstance(error, redis.RedisError) and not _refusals_in(error).isdisjoint(_REFUSALS)


def is_away(error: Exception) -> bool:
    """Tell whether the server cannot be asked just now; it may be back in a moment, with nobody's help."""
    if isinstance(error, OUTAGES):
        return True
    return isinstance(error, redis.RedisError) and not _refusals_in(error).isdisjoint(_PASSING)


def _refusals_in(error: redis.RedisError) -> set[str]:
    """Return the words that the server's answer may have begun with; redis-py cuts off the ones that it knows."""
    answer = _AROUND.sub("", str(error), count=1).removeprefix("ERR ").lstrip("-")
    code = "NOPERM" if answer.startswith(_DENIED_IN_A_SCRIPT) else answer.partition(" ")[0]
    return {code, str(getattr(error, "status_code", None))}


P = ParamSpec("P")
T = TypeVar("T")


def connect(url: str) -> "redis.Redis":
    """Return a client for *url*; it connects when it is first used."""
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=5.0,
            socket_keepalive=True,
            health_check_interval=30,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            client_name="fleethand",
        )
    except ValueError as error:
        raise SettingsError(f"cannot use {masked(url)!r} as the Redis URL: {error}") from error


def masked(url: str) -> str:
    """Return *url* without its password."""
    parts = urlsplit(url)
    if not parts.password:
        return url
    netloc = f"{parts.username or ''}:******@{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    return urlunsplit(parts._replace(netloc=netloc))


@contextmanager
def translated() -> Iterator[None]:
    """Make what is inside raise `ServerUnavailableError`, as `guarded` does for a function."""
    try:
        yield
    except OUTAGES as error:
        raise ServerUnavailableError(
            f"cannot reach Redis: {explained(error)}; check --redis-url (FLEETHAND_REDIS_URL) and that the server runs"
        ) from error
    except redis.RedisError as error:
        raise ServerUnavailableError(
            f"cannot use Redis, it refuses: {error}; check the server's memory, disk and access rules"
        ) from error


def guarded(function: Callable[P, T]) -> Callable[P, T]:
    """Make a verb of the API raise `ServerUnavailableError` where the server cannot be reached or refuses to serve."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with translated():
            return function(*args, **kwargs)

    return wrapper


def guarded_iterator(function: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """Do as `guarded` does for a verb that yields its answers."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        with translated():
            yield from function(*args, **kwargs)

    return wrapper
