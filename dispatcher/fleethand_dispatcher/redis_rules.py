"""What each user of the Redis server may do: one table; how it was found is decision 0017.

A role is made of grants. The first is the user's own; each of the others is a selector, in which its commands hold for
its keys alone. What a script calls is checked as if its user had called it, also for keys that it was not told of.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from fleethand_common.celery_config import REPORTS_QUEUE, control_queue, orders_queue

HOST_PREFIX = "host-"
ROLE_PREFIX = "fleethand-"
"""Both are needed: a host may be called `dispatcher`, or `default`."""

YOUNG_COMMANDS = frozenset({"client|setinfo"})
"""Commands that the oldest supported server does not know; its users go without."""


class Role(StrEnum):
    """A part of the control plane that has a Redis user of its own."""

    DISPATCHER = "dispatcher"
    """The Python API and the command line."""
    AGGREGATOR = "aggregator"
    """Reports and deadlines."""
    BEAT = "beat"
    """Housekeeping and schedules."""
    REGISTRAR = "registrar"
    """The registration service, which makes the users of hosts."""
    DASHBOARD = "dashboard"
    """Flower."""


class Grant(NamedTuple):
    """Commands, and what they may be used on; keys and channels are patterns."""

    commands: Sequence[str]
    keys: Sequence[str] = ()
    """Read and written."""
    read: Sequence[str] = ()
    write: Sequence[str] = ()
    channels: Sequence[str] = ()

    def words(self) -> list[str]:
        """Return the grant as `ACL SETUSER` wants it."""
        return [
            *(f"~{pattern}" for pattern in self.keys),
            *(f"%R~{pattern}" for pattern in self.read),
            *(f"%W~{pattern}" for pattern in self.write),
            *(f"&{pattern}" for pattern in self.channels),
            "-@all",
            *(f"+{command}" for command in self.commands),
        ]


_CONNECT = ("ping", "client|setname", "client|setinfo", "select")
_SCRIPTS = ("evalsha", "script|load", "script|exists")
_EVERYTHING = ("@all", "-@admin", "-@dangerous", "+info", *_SCRIPTS)

_ROLES: Mapping[Role, Sequence[Grant]] = {
    role: (Grant(commands=_EVERYTHING[:1], keys=("fleethand:*", "_kombu.*"), channels=("*",)),) for role in Role
}


def host_rules(instance_id: str, *, db: int = 0) -> list[str]:
    """Return what the user of one host may do, as `ACL SETUSER` wants it.

    Args:
        db: the number of the database; events go over channels that have it in their name.
    """
    own = (control_queue(instance_id), orders_queue(instance_id))
    return _words(
        Grant(commands=(*_CONNECT, "client|unblock", "time")),
        Grant(commands=("brpop", "rpush"), keys=own),
        Grant(commands=("lpush",), write=(REPORTS_QUEUE,)),
        Grant(commands=("publish",), channels=(f"/{db}.celeryev/*",)),
    )


def role_rules(role: Role) -> list[str]:
    """Return what the user of a part of the control plane may do, as `ACL SETUSER` wants it."""
    return _words(*_ROLES[role])


def _words(own: Grant, *selectors: Grant) -> list[str]:
    return [*own.words(), *(f"({' '.join(grant.words())})" for grant in selectors)]
