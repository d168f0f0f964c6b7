"""The conditions of policies: their operators and keys, and the patterns of actions and resources."""

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

Values: TypeAlias = Mapping[str, str]
"""Condition keys with what a call has for them."""
Holds: TypeAlias = Callable[[str | None, Sequence[str]], bool]
"""Tells whether a condition holds for a value, None if the call has none, and those that the policy names."""

RUN_AS, SESSION_AS, SOURCE_IP, TAG_PREFIX = "ecs:CommandRunAs", "ecs:SessionStartAs", "acs:SourceIp", "acs:ResourceTag/"

CONDITION_KEYS: dict[str, str] = {
    RUN_AS: "the user that a command runs as; where the call names none, `root` for Shell, `system` for others",
    SESSION_AS: "the user of an interactive session",
    SOURCE_IP: "the address that the call came from; absent for calls on the control plane itself",
    f"{TAG_PREFIX}<key>": "the tag that the control plane gave the instance at its enrolment, whatever the host says",
}


def pattern(globs: Sequence[str], *, ignore_case: bool = False) -> Callable[[str], bool]:
    """Return a test whether a text is like one of *globs*, in which `*` and `?` are special and nothing else."""
    if "*" in globs:
        return lambda _: True
    joined = "|".join(fnmatch.translate(glob.replace("[", "[[]")) for glob in globs)
    match = re.compile(joined, re.IGNORECASE if ignore_case else 0).match
    return lambda text: match(text) is not None


def _string_equals(fact: str | None, values: Sequence[str]) -> bool:
    return fact is not None and fact in values


def _string_equals_ignore_case(fact: str | None, values: Sequence[str]) -> bool:
    return fact is not None and fact.casefold() in {value.casefold() for value in values}


def _string_like(fact: str | None, values: Sequence[str]) -> bool:
    return fact is not None and pattern(values)(fact)


def _ip_address(fact: str | None, values: Sequence[str]) -> bool:
    if fact is None:
        return False
    address = ipaddress.ip_address(fact)
    return any(address in ipaddress.ip_network(value, strict=False) for value in values)


def _not(holds: Holds) -> Holds:
    return lambda fact, values: not holds(fact, values)


OPERATORS: dict[str, Holds] = {
    "StringEquals": _string_equals,
    "StringNotEquals": _not(_string_equals),
    "StringEqualsIgnoreCase": _string_equals_ignore_case,
    "StringNotEqualsIgnoreCase": _not(_string_equals_ignore_case),
    "StringLike": _string_like,
    "StringNotLike": _not(_string_like),
    "IpAddress": _ip_address,
    "NotIpAddress": _not(_ip_address),
}
"""A value may be any of those that the policy names; a negated operator wants it to be none of them.

What a call has no value for is equal to nothing, so that a negated operator holds.
"""


def check_key(operator: str, key: str, values: Sequence[str]) -> None:
    """Refuse a condition that could never be judged.

    Raises:
        ValueError: with the reason.
    """
    named = key.removeprefix(TAG_PREFIX)
    if key not in CONDITION_KEYS and not (key.startswith(TAG_PREFIX) and named):
        raise ValueError(f"there is no condition key {key!r}; there are {', '.join(CONDITION_KEYS)}")
    if not values:
        raise ValueError(f"{key} names no value")
    if (key == SOURCE_IP) is not operator.endswith("IpAddress"):
        raise ValueError(f"{operator} does not judge {key}; {SOURCE_IP} is for IpAddress and NotIpAddress")
    if key == SOURCE_IP:
        for value in values:
            ipaddress.ip_network(value, strict=False)
