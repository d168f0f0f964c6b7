"""A Redis user for each part of a test's fleet, and what the server refused them."""

from contextlib import suppress
from pathlib import Path

import redis

from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.redis_users import RedisUsers
from servers import Server


def aclfile(folder: Path) -> tuple[str, str]:
    """Return the server's arguments that have it keep its users in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "users.acl"
    file.touch()
    return ("--aclfile", str(file))


class Logins:
    """The users of one server, made when they are first asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._urls: dict[str, str] = {}

    def url(self, part: Role | str) -> str:
        """Return the URL of a role or, for another word, of the host that is called so."""
        if part not in self._urls:
            with redis.Redis.from_url(self._server.url) as client:
                users = RedisUsers(client)
                made = users.create_role(part) if isinstance(part, Role) else users.create_host(part)
                assert users.save()
            self._urls[part] = made.url(self._server.url)
        return self._urls[part]

    def denied(self) -> list[str]:
        """Return what the server refused, each once: the user, and the command, key or channel; nothing if it is down.

        What a server refused before it was started again, it has forgotten.
        """
        with suppress(redis.ConnectionError), self._server.client() as client:
            entries = client.acl_log(count=128)
            texts = (f"{e['username']} may not use the {e['reason']} {e['object']!r} ({e['context']})" for e in entries)
            return sorted(set(texts))
        return []

    def forget_denied(self) -> None:
        """Forget what was refused on purpose."""
        with self._server.client() as client:
            client.acl_log_reset()
