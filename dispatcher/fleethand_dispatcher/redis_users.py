"""The users of the Redis server: the only module that runs ACL commands. What each may do is in `redis_roles`."""

import hashlib
import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit, urlunsplit

from redis.exceptions import NoPermissionError, ResponseError

from fleethand_dispatcher.connection import connect
from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.redis_rules import host_rules, role_rules, without_young_commands
from fleethand_dispatcher.settings import Settings

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

HOST_PREFIX = "host-"
ROLE_PREFIX = "fleethand-"
"""Both are needed: a host may be called `dispatcher`, or `default`."""
_PASSWORD_BYTES = 32
_OWN_USER = "default"
"""Who logs in to a server without naming a user."""


class RedisUser(NamedTuple):
    """A user and its password, which is known here and now only: the server keeps its digest."""

    user: str
    password: str

    def url(self, server: str) -> str:
        """Return the URL by which this user connects to the server that the URL *server* names."""
        parts = urlsplit(server)
        address = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{self.user}:{self.password}@{address}"))


class RedisUsers:
    """Makes, lists and deletes the users of one server; *client* must be allowed to."""

    def __init__(self, client: "redis.Redis") -> None:
        self._run: Any = cast("Any", client).execute_command
        self._db = int(client.connection_pool.connection_kwargs.get("db") or 0)
        self._user: str | None = client.connection_pool.connection_kwargs.get("username")

    @classmethod
    @contextmanager
    def of(cls, settings: Settings) -> Iterator["RedisUsers"]:
        """Open a connection that may make users, as *settings* name it, for a `with` statement."""
        client = connect(settings.server_url(settings.users_redis_url))
        try:
            yield cls(client)
        finally:
            client.close()

    def create_host(self, instance_id: str) -> RedisUser:
        """Make the user of one host; one that it had before is over, with its connections."""
        return self._create(HOST_PREFIX + instance_id, host_rules(instance_id, db=self._db))

    def create_role(self, role: Role) -> RedisUser:
        """Make the user of a part of the control plane; one that it had before is over, with its connections."""
        return self._create(ROLE_PREFIX + role, role_rules(role, db=self._db))

    def renew_role(self, role: Role, known: RedisUser) -> bool:
        """Give the user of a part this version's rights and leave its password; False if *known* is not that user."""
        name = ROLE_PREFIX + role
        facts: dict[str, Any] | None = self._run("ACL GETUSER", name) if known.user == name else None
        if facts is None or _digest(known.password) not in {text.lstrip("#") for text in facts["passwords"]}:
            return False
        self._set(name, ("on", "resetkeys", "resetchannels", "clearselectors"), role_rules(role, db=self._db))
        return True

    def delete(self, user: str) -> bool:
        """Delete a user that was made here and end its connections; False if there was none."""
        return user.startswith((HOST_PREFIX, ROLE_PREFIX)) and bool(self._run("ACL DELUSER", user))

    def delete_host(self, user: str) -> bool:
        """Delete the user of a host and end its connections; False if there was none."""
        return user.startswith(HOST_PREFIX) and self.delete(user)

    def is_unbounded(self) -> bool:
        """Tell whether the client is the server's own user `default` and may use every command.

        Nobody else is asked about: a role's user would be refused that, and the server's log of refusals would have it.
        """
        if self._user not in (None, "", _OWN_USER):
            return False
        try:
            facts: dict[str, Any] = self._run("ACL GETUSER", _OWN_USER)
        except NoPermissionError:
            return False
        return "+@all" in facts["categories"]

    def all(self) -> list[str]:
        """Return the names of the users that were made here: hosts and roles."""
        names: list[str] = self._run("ACL USERS")
        return [name for name in names if name.startswith((HOST_PREFIX, ROLE_PREFIX))]

    def save(self) -> bool:
        """Have the server keep its users through a restart; False, with a warning, if it has no file for them."""
        try:
            self._run("ACL SAVE")
        except ResponseError as error:
            if "ACL file" not in str(error):
                raise
            logger.warning("the server forgets its users when it restarts: it has no `aclfile` in its configuration")
            return False
        return True

    def _create(self, name: str, rules: list[str]) -> RedisUser:
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        self._set(name, ("reset", "on", f"#{_digest(password)}"), rules)
        self._run("CLIENT KILL", "USER", name)
        return RedisUser(name, password)

    def _set(self, name: str, beginning: Sequence[str], rules: list[str]) -> None:
        try:
            self._run("ACL SETUSER", name, *beginning, *rules)
        except ResponseError as error:
            if "Unknown command" not in str(error):
                raise
            self._run("ACL SETUSER", name, *beginning, *without_young_commands(rules))


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
