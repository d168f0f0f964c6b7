"""The Lua scripts: read once, with the one transition table put into them, and run by their hash."""

from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from fleethand_common.states import PRESUMABLE, REPLACES_PRESUMED, TERMINAL, TRANSITIONS, InstanceStatus

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
    }


def source(name: str) -> str:
    """Return the text of script *name* with the tables filled in."""
    text = (files("fleethand_dispatcher") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    for mark, table in _tables().items():
        text = text.replace(mark, msgspec.json.encode(table).decode())
    return text


def load(client: "redis.Redis", name: str) -> "Script":
    """Return script *name*, bound to *client*; it is sent to a server that does not know it."""
    return client.register_script(source(name))
