"""What each part may do on the Redis server: the one table; how it was found, and why it is so, is decision 0017.

A part is made of grants. The first is its user's own; each of the others is a selector, in which its commands hold for
its keys alone. What a script calls is checked as if its user had called it, also for keys that it was not told of.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from fleethand_common.celery_config import REPORTS_QUEUE, control_queue, orders_queue
from fleethand_dispatcher import keys


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


_CONNECT = ("ping", "client|setname", "client|setinfo")
_CONTROL = (*_CONNECT, "time", "multi", "exec", "script|load", "script|exists")
_EVENTS = "/{db}.celeryev/"
_INVOCATION = f"{keys.INVOCATION_PREFIX}*"
_OF_INSTANCE = f"{keys.INSTANCE_PREFIX}*"
_REPORTS = (REPORTS_QUEUE, f"{keys.TAKEN_PREFIX}*")
_SIGHTINGS = (keys.INSTANCES, keys.SEEN, keys.INVOKED)
_ENROLLED = (keys.HOSTS, keys.HOSTS_VERSION)
_SCHEDULES = (keys.SCHEDULES, keys.DUE, keys.FIRINGS, keys.HELD, keys.RUNS)

_QUEUES = (Grant(("lpush", "llen", "pttl", "pexpire"), keys=("fleethand:host:*",)),)
"""Put messages into hosts' queues, and take none out."""
_AUDIT = (Grant(("evalsha", "exists", "xinfo|stream", "xadd"), keys=(keys.AUDIT,)),)
"""Add to the audit log, which needs its last entry; change nothing in it."""
_ROWS = (
    Grant(("evalsha",), keys=(_INVOCATION, keys.WATCH, keys.INVOKED, keys.UNFINISHED)),
    Grant(("hget", "hmget", "hset", "hsetnx", "hincrby", "hdel", "xadd", "expire", "persist"), keys=(_INVOCATION,)),
    Grant(("zadd", "zrem"), keys=(keys.WATCH, keys.UNFINISHED, _OF_INSTANCE)),
    Grant(("hset",), write=(keys.INVOKED,)),
    Grant(("sadd", "srem", "smembers"), keys=(_INVOCATION,)),
    Grant(("hdel",), write=(keys.SCHEDULES,)),
    Grant(("xadd",), write=(keys.FIRINGS,)),
)
"""Change rows, and what goes with a change: a schedule's row follows its run's, may end, or let a run that waits go."""

_DISPATCHER = (
    Grant((*_CONTROL, "info")),
    Grant(
        (
            *("evalsha", "get", "set", "incr", "incrby", "del", "exists", "expire", "persist"),
            *("hget", "hset", "hsetnx", "hmget", "hgetall", "hincrby", "hdel", "hscan", "hlen", "hkeys", "hexists"),
            *("zadd", "zrem", "zcard", "zmscore", "zrange", "zrevrange", "zrangebyscore", "zrevrangebyscore", "zscan"),
            *("zinter", "sadd", "srem", "smembers", "scard", "rpush", "llen", "lrange", "xadd", "xread", "xrange"),
            "xinfo|stream",
        ),
        keys=("fleethand:*",),
    ),
    *_QUEUES,
)
_AGGREGATOR = (
    Grant(_CONTROL),
    Grant(("evalsha",), keys=(*_REPORTS, keys.AGGREGATORS)),
    Grant(("blmove", "lmove", "rpop", "rpush", "lrange", "llen", "del"), keys=_REPORTS),
    Grant(("hset", "hkeys", "hgetall", "hdel"), keys=(keys.AGGREGATORS,)),
    Grant(("lpush", "ltrim"), write=(keys.DEAD_REPORTS,)),
    Grant(("hincrby", "hset"), keys=(keys.SECURITY,)),
    *_ROWS,
    Grant(("zrangebyscore",), read=(keys.WATCH,)),
    Grant(("zrange",), read=(_OF_INSTANCE,)),
    Grant(("evalsha", "hget", "hmget", "hset", "hsetnx", "zadd", "zscore", "zmscore"), keys=(*_SIGHTINGS, keys.WATCH)),
    Grant(("get", "hmget"), read=_ENROLLED),
    Grant(("zrangebyscore", "zrevrange"), read=(keys.DIRECTIVES,)),
    *_AUDIT,
    *_QUEUES,
)
_BEAT = (
    Grant(_CONTROL),
    Grant(("hmget", "hset"), keys=(keys.BEAT,)),
    Grant(
        ("evalsha",),
        keys=(*_SCHEDULES, _INVOCATION, keys.BEAT, keys.INVOCATIONS, keys.RESULTS, keys.UNFINISHED, keys.WATCH),
    ),
    Grant(
        (
            *("xadd", "xread", "xrange", "xdel", "zadd", "zrem", "zscore", "zmscore", "zrange", "zrangebyscore"),
            *("hget", "hmget", "hkeys", "hdel", "hexists", "hset", "sadd", "srem", "smembers", "exists"),
        ),
        keys=_SCHEDULES,
    ),
    *_ROWS,
    Grant(
        (
            *("exists", "hexists", "hkeys", "hlen", "lrange", "rpush", "unlink"),
            *("zadd", "zcard", "zcount", "zrange", "zrangebyscore", "zrem", "zremrangebyscore", "zrevrange"),
        ),
        keys=(_INVOCATION,),
    ),
    Grant(("zrangebyscore", "zrem"), keys=(keys.INVOCATIONS,)),
    Grant(("get", "incrby", "decrby"), keys=(keys.RESULTS,)),
    Grant(("hscan", "hmget", "zmscore", "zrange", "zrem", "hdel"), keys=_SIGHTINGS),
    Grant(("get", "hmget"), read=_ENROLLED),
    Grant(("get", "hget", "hgetall"), read=(keys.PRINCIPALS, keys.PRINCIPALS_VERSION, keys.POLICIES)),
    Grant(("zrangebyscore",), read=(keys.DIRECTIVES,)),
    Grant(("hincrby", "hset"), keys=(keys.SECURITY,)),
    Grant(("xrange", "xtrim"), keys=(keys.AUDIT,)),
    *_AUDIT,
    *_QUEUES,
)
_REGISTRAR = (
    Grant((*_CONTROL, "acl|setuser", "acl|deluser", "acl|save", "client|kill")),
    Grant(("hset", "hget", "hmget", "hlen", "hdel", "incrby"), keys=_ENROLLED),
    Grant(("sadd", "srem", "smembers"), keys=(keys.machine("*"),)),
    Grant(
        ("evalsha", "hget", "hset", "hmget", "hexists", "hincrby", "exists", "expire"),
        keys=(keys.ACTIVATIONS, keys.activation("*"), keys.enrolment("*")),
    ),
    Grant(("hdel",), keys=(keys.enrolment("*"),)),
    Grant(("set",), write=(keys.REGISTRAR,)),
    *_ROWS,
    Grant(("zinter",), read=(keys.UNFINISHED, _OF_INSTANCE)),
    Grant(("hmget", "hdel", "zmscore", "zrem"), keys=_SIGHTINGS),
    Grant(("del",), write=("fleethand:host:*",)),
    *_AUDIT,
)
_DASHBOARD = (
    Grant((*_CONNECT, "multi", "exec")),
    Grant(("psubscribe",), channels=(f"{_EVENTS}*",)),
    Grant(("llen",), read=("fleethand:unused",)),
)

ROLES: Mapping[Role, Sequence[Grant]] = {
    Role.DISPATCHER: _DISPATCHER,
    Role.AGGREGATOR: _AGGREGATOR,
    Role.BEAT: _BEAT,
    Role.REGISTRAR: _REGISTRAR,
    Role.DASHBOARD: _DASHBOARD,
}


def host_grants(instance_id: str) -> Sequence[Grant]:
    """Return what one host may do."""
    return (
        Grant((*_CONNECT, "time")),
        Grant(("brpop", "lpush", "rpush", "lrem"), keys=(control_queue(instance_id), orders_queue(instance_id))),
        Grant(("lpush",), write=(REPORTS_QUEUE,)),
        Grant(("publish",), channels=(f"{_EVENTS}{instance_id}/*",)),
    )
