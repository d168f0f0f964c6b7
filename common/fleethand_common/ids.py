"""Identifiers: their prefixes and their form (spec section 1.5)."""

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


_INVOCATION_ID = re.compile(r"t-[0-9a-z]{1,64}")


def new_id(prefix: str) -> str:
    """Return *prefix* and 20 random characters; random from the first one, so that short prefixes tell ids apart."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def is_instance_id(text: str) -> bool:
    """Tell whether *text* can be an instance id."""
    return INSTANCE_ID.fullmatch(text) is not None


def is_invocation_id(text: str) -> bool:
    """Tell whether *text* can be an invocation id."""
    return _INVOCATION_ID.fullmatch(text) is not None
