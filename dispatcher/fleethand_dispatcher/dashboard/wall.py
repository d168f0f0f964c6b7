"""What of an event reaches the dashboard: names, times, numbers and ids; never content, a value or output.

Our workers send nothing else. This is the second wall, for a worker that was changed or an order that somebody else
sent: what is not known to be harmless is dropped when it arrives, so no page, search or API can show it.
"""

import ast
import re
from collections.abc import Mapping

from fleethand_common.ids import is_instance_id
from fleethand_common.limits import NAME_CHARS

_COMMON = frozenset({"type", "hostname", "timestamp", "local_received", "utcoffset", "pid", "clock"})
_TASK = _COMMON | {"uuid", "name", "retries", "runtime"}
_WORKER = _COMMON | {"freq", "active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys"}
_IDS = ("invocation", "instance")
_FAILURE = re.compile(r"[A-Z][A-Za-z]{2,31}(: (exit code -?\d{1,10}|[A-Z][A-Za-z]{2,63}))?")


def cleaned(event: Mapping[str, object]) -> dict[str, object]:
    """Return *event* with its harmless fields only."""
    if not str(event.get("type", "")).startswith("task-"):
        return {name: value for name, value in event.items() if name in _WORKER}
    kept = {name: value for name, value in event.items() if name in _TASK}
    if "name" in kept:
        kept["name"] = str(kept["name"])[:NAME_CHARS]
    if ids := _ids(event.get("kwargs")):
        kept["kwargs"] = ids
    if "exception" in event:
        kept["exception"] = _failure(event["exception"])
    return kept


def _ids(text: object) -> str:
    """Return the representation of the arguments if it holds ids only, else nothing."""
    try:
        values = ast.literal_eval(str(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    if not isinstance(values, dict):
        return ""
    ids = {name: value for name in _IDS if isinstance(value := values.get(name), str) and is_instance_id(value)}
    return repr(ids) if ids else ""


def _failure(text: object) -> str:
    """Return how an execution ended, if it is a status with an exit code or an error code."""
    words = str(text)
    return words if _FAILURE.fullmatch(words) else "Failed"
