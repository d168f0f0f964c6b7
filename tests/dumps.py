"""Everything that is in a Redis server, as whoever reads it would see it."""

from typing import Any

import redis


def dump_of(url: str) -> bytes:
    """Return all keys, fields and values of a server."""
    with redis.Redis.from_url(url) as client:
        return repr([(key, _value(client, key)) for key in client.scan_iter(count=1000)]).encode()


def _value(client: Any, key: bytes) -> Any:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"hash":
            return client.hgetall(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
        case _:
            return client.xrange(key)
