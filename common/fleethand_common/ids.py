"""Identifiers: their prefixes and their form (spec section 1.5)."""

import hashlib
import re
import secrets

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH = 20

COMMAND_PREFIX = "c-"
INVOCATION_PREFIX = "t-"
MANAGED_PREFIX = "mi-"
"""Of an instance that enrolled itself."""
ENROLMENT_PREFIX = "e-"

INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""An instance id goes into queue names and Redis keys, so it holds no separator of theirs."""


_INVOCATION_ID = re.compile(r"t-[0-9a-z]{1,64}(\.\d{1,15}(\.[0-9a-f]{1,8})?)?")
"""An id as `new_id` makes it; of one run of a schedule: that, the time when it was due, and what tells apart two runs
that were due at once."""


def new_id(prefix: str) -> str:
    """Return *prefix* and 20 random characters; random from the first one, so that short prefixes tell ids apart."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def is_instance_id(text: str) -> bool:
    """Tell whether *text* can be an instance id."""
    return INSTANCE_ID.fullmatch(text) is not None


def run_id(schedule_id: str, due_ms: int, part: str = "") -> str:
    """Return the invocation id of one run of a schedule: the same for the same time, so that it cannot be made twice.

    Args:
        part: for which of several runs that are due at this time: a time zone, or a host whose run had to wait.
    """
    suffix = "." + hashlib.blake2b(part.encode(), digest_size=4).hexdigest() if part else ""
    return f"{schedule_id}.{due_ms}{suffix}"


def schedule_of(invoke_id: str) -> str:
    """Return the id of the schedule that an invocation is a run of, empty if it is none."""
    schedule_id, dot, _ = invoke_id.partition(".")
    return schedule_id if dot else ""


def is_invocation_id(text: str) -> bool:
    """Tell whether *text* can be an invocation id."""
    return _INVOCATION_ID.fullmatch(text) is not None
