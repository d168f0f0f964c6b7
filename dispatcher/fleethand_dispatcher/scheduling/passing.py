"""Which times of a schedule have come: all of them after a short wait, the newest ones after a long outage.

Pure, like `deciding`. What it costs does not grow with the length of the outage.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from fleethand_dispatcher.scheduling.definitions import Definition


class Past(NamedTuple):
    """The times that have come; each is milliseconds since 1970."""

    older: int | None
    """The newest of those that are not listed; None if all are."""
    newest: Sequence[int]
    following: int | None
    """The first that has not come; None if the schedule is over."""


def jitter_ms(definition: Definition, due: int, zone: str = "") -> int:
    """Return by how much a run is put off: less than the policy's jitter, and the same for everyone who asks."""
    most = definition.policy.jitter_s * 1000
    if not most:
        return 0
    digest = hashlib.blake2b(f"{definition.id}|{zone}|{due}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % most


def acts(definition: Definition, due: int, zone: str) -> int:
    """Return when the run that is due at *due* must be made."""
    return due + jitter_ms(definition, due, zone)


def come(definition: Definition, zone: str, first: int, now_ms: int, most: int) -> Past:
    """Return the times from *first* on that have come by *now_ms*, the newest *most* of them one by one."""
    listed, following = _walk(definition, zone, first, now_ms, most + 1)
    if following is None or acts(definition, following, zone) > now_ms:
        return _cut(listed, following, most)
    listed, following = _tail(definition, zone, listed, now_ms, most)
    return _cut(listed, following, most)


def _cut(listed: list[int], following: int | None, most: int) -> Past:
    older = listed[-most - 1] if len(listed) > most else None
    return Past(older, listed[-most:], following)


def _walk(definition: Definition, zone: str, due: int | None, now_ms: int, most: int) -> tuple[list[int], int | None]:
    """Return at most *most* times from *due* on that have come, and the one after them."""
    found: list[int] = []
    while due is not None and len(found) < most and acts(definition, due, zone) <= now_ms:
        found.append(due)
        due = definition.next_after(due, zone)
    return found, due


def _tail(
    definition: Definition, zone: str, begin: Sequence[int], now_ms: int, most: int
) -> tuple[list[int], int | None]:
    """Return the newest times that have come, more than *most* and at most twice as many, by bisection.

    From one second to the next the number of times behind it falls by one at most, so there is such a place.

    Args:
        begin: more than *most* of the oldest.
    """
    low, high = begin[0], now_ms
    guess = max(low, now_ms - (begin[-1] - begin[0]) * 5 // 4)  # if they come as often now as they did then
    while True:
        found, following = _walk(definition, zone, definition.next_after(guess, zone), now_ms, 2 * most + 2)
        if len(found) <= most:
            high = guess
        elif len(found) == 2 * most + 2:
            low = guess
        else:
            return found, following
        guess = (low + high) // 2
