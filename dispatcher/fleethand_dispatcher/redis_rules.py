"""What each user of the Redis server may do: one table; how it was found is decision 0017.

A role is made of grants. The first is the user's own; each of the others is a selector, in which its commands hold for
its keys alone. What a script calls is checked as if its user had called it, also for keys that it was not told of.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from fleethand_common.celery_config import REPORTS_QUEUE, control_queue, orders_queue
from fleethand_dispatcher import keys
from fleethand_dispatcher.lease import KEY as BEAT

HOST_PREFIX = "host-"
ROLE_PREFIX = "fleethand-"
"""Both are needed: a host may be called `dispatcher`, or `default`."""

_YOUNG_COMMANDS = frozenset({"client|setinfo"})
"""Commands that the oldest supported servers do not know."""


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
            "resetchannels",  # a server may give new users all of them
            *(f"&{pattern}" for pattern in self.channels),
            "-@all",
            *(f"+{command}" for command in self.commands),
        ]


_CONNECT = ("ping", "client|setname", "client|setinfo")
_CONTROL = (*_CONNECT, "time", "multi", "exec", "script|load", "script|exists")
_EVENTS = "/{db}.celeryev/"
_QUEUES = Grant(("lpush", "llen", "pttl", "pexpire"), keys=("fleethand:host:*",))
"""Put messages into queues, and take none out."""
_INVOCATION_INDEXES = (keys.WATCH, keys.UNFINISHED, f"{keys.INSTANCE_PREFIX}*")
_INSTANCES = (keys.INSTANCES, keys.SEEN, keys.INVOKED)
_REPORTS = (REPORTS_QUEUE, f"{keys.TAKEN_PREFIX}*")

_DISPATCHER = (
    Grant((*_CONTROL, "info")),
    Grant(
        (
            "evalsha",
            *("get", "set", "incr", "incrby", "del", "exists", "expire", "persist"),
            *("hget", "hset", "hsetnx", "hmget", "hgetall", "hincrby", "hdel", "hscan"),
            *("zadd", "zrem", "zcard", "zmscore", "zrange", "zrevrange", "zrevrangebyscore", "zscan"),
            *("rpush", "llen", "lrange", "xadd", "xread"),
        ),
        keys=("fleethand:*",),
    ),
    _QUEUES,
)
_AGGREGATOR = (
    Grant(_CONTROL),
    Grant(
        ("evalsha",),
        keys=(*_REPORTS, keys.AGGREGATORS, f"{keys.INVOCATION_PREFIX}*", *_INVOCATION_INDEXES, *_INSTANCES),
    ),
    Grant(("blmove", "lmove", "rpop", "rpush", "lrange", "llen", "del"), keys=_REPORTS),
    Grant(("hset", "hkeys", "hgetall", "hdel"), keys=(keys.AGGREGATORS,)),
    Grant(("lpush", "ltrim"), write=(keys.DEAD_REPORTS,)),
    Grant(
        ("hget", "hmget", "hset", "hsetnx", "hincrby", "hdel", "xadd", "expire", "persist"),
        keys=(f"{keys.INVOCATION_PREFIX}*",),
    ),
    Grant(("zadd", "zrem", "zrange", "zrangebyscore"), keys=_INVOCATION_INDEXES),
    Grant(("hset", "hsetnx", "zadd", "zscore", "zmscore"), keys=_INSTANCES),
    Grant(("get", "hmget"), read=(keys.HOSTS, keys.HOSTS_VERSION)),
    _QUEUES,
)
_BEAT = (
    Grant(_CONTROL),
    Grant(
        ("evalsha",),
        keys=(BEAT, keys.INVOCATIONS, keys.RESULTS, f"{keys.INVOCATION_PREFIX}*", *_INVOCATION_INDEXES),
    ),
    Grant(("hmget", "hset"), keys=(BEAT,)),
    Grant(("zrange", "zrem"), keys=(keys.INVOCATIONS, *_INVOCATION_INDEXES)),
    Grant(("hget", "hlen", "lrange", "unlink"), keys=(f"{keys.INVOCATION_PREFIX}*",)),
    Grant(("get", "decrby"), keys=(keys.RESULTS,)),
    Grant(("zrange", "zrem", "hdel"), keys=_INSTANCES),
)
_REGISTRAR = (
    Grant((*_CONTROL, "acl|setuser", "acl|deluser", "acl|save", "client|kill")),
    Grant(("hmget", "hset", "hdel", "incr"), keys=(keys.HOSTS, keys.HOSTS_VERSION)),
)
_DASHBOARD = (
    Grant((*_CONNECT, "multi", "exec")),
    Grant(("psubscribe",), channels=(f"{_EVENTS}*",)),
    Grant(("llen",), read=("fleethand:unused",)),
)

_ROLES: Mapping[Role, Sequence[Grant]] = {
    Role.DISPATCHER: _DISPATCHER,
    Role.AGGREGATOR: _AGGREGATOR,
    Role.BEAT: _BEAT,
    Role.REGISTRAR: _REGISTRAR,
    Role.DASHBOARD: _DASHBOARD,
}


def host_rules(instance_id: str, *, db: int = 0) -> list[str]:
    """Return what the user of one host may do, as `ACL SETUSER` wants it.

    Args:
        db: the number of the database; events go over channels that have it in their name.
    """
    own = (control_queue(instance_id), orders_queue(instance_id))
    grants = (
        Grant((*_CONNECT, "time")),
        Grant(("brpop", "lpush", "rpush", "lrem"), keys=own),
        Grant(("lpush",), write=(REPORTS_QUEUE,)),
        Grant(("publish",), channels=(f"{_EVENTS}{instance_id}/*",)),
    )
    return _words(grants, db)


def role_rules(role: Role, *, db: int = 0) -> list[str]:
    """Return what the user of a part of the control plane may do, as `ACL SETUSER` wants it."""
    return _words(_ROLES[role], db)


def without_young_commands(rules: Sequence[str]) -> list[str]:
    """Return the rules for a server that does not know every command; what uses them goes without."""
    return [word for word in rules if word.removeprefix("+") not in _YOUNG_COMMANDS]


def _words(grants: Sequence[Grant], db: int) -> list[str]:
    own, *selectors = grants
    if db:
        own = own._replace(commands=(*own.commands, "select"))
    words = [*own.words(), *(f"({' '.join(grant.words())})" for grant in selectors)]
    return [word.replace("{db}", str(db)) for word in words]
