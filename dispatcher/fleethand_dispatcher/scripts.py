"""The Lua scripts: read once, with the one transition table put into them, and run by their hash."""

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from fleethand_common.states import (
    AFTER_LAST_RUN,
    AFTER_STOP,
    FAILED_KIND,
    PRESUMABLE,
    REPLACES_PRESUMED,
    TERMINAL,
    TRANSITIONS,
    InstanceStatus,
)
from fleethand_dispatcher import keys

if TYPE_CHECKING:
    import redis
    from redis.commands.core import Script


def _members(statuses: Iterable[InstanceStatus]) -> dict[str, bool]:
    return {status.value: True for status in statuses}


def _tables() -> dict[str, object]:
    return {
        "@TRANSITIONS@": {current.value: _members(following) for current, following in TRANSITIONS.items()},
        "@TERMINAL@": _members(TERMINAL),
        "@PRESUMABLE@": _members(PRESUMABLE),
        "@REPLACES_PRESUMED@": _members(REPLACES_PRESUMED),
        "@AFTER_LAST_RUN@": AFTER_LAST_RUN,
        "@AFTER_STOP@": AFTER_STOP,
        "@FAILED_KIND@": _members(FAILED_KIND),
    }


_NAMES = {
    "@INVOCATION_PREFIX@": keys.INVOCATION_PREFIX,
    "@FIRINGS@": keys.FIRINGS,
    "@SCHEDULES@": keys.SCHEDULES,
    "@WATCH@": keys.WATCH,
    "@RESULTS@": keys.RESULTS,
    "@INSTANCE_PREFIX@": keys.INSTANCE_PREFIX,
}
"""Keys that a script comes to by itself, from what it reads."""
_INCLUDE = re.compile(r"^-- @include (\w+)$", re.MULTILINE)


def source(name: str) -> str:
    """Return the text of script *name* with what it includes, and with the tables and names filled in."""
    text = _INCLUDE.sub(lambda found: _read(found[1]), _read(name))
    for mark, table in _tables().items():
        text = text.replace(mark, msgspec.json.encode(table).decode())
    for mark, key in _NAMES.items():
        text = text.replace(mark, key)
    return text


def _read(name: str) -> str:
    return (files("fleethand_dispatcher") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def load(client: "redis.Redis", name: str) -> "Script":
    """Return script *name*, bound to *client*; it is sent to a server that does not know it."""
    return client.register_script(source(name))
