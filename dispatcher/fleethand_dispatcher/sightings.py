"""What a heartbeat proves: that its host lived when it was written, not when somebody brings it."""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from fleethand_common.limits import ONLINE_WITHIN_S
from fleethand_common.messages import Heartbeat

_WITHIN_MS = ONLINE_WITHIN_S * 1000
"""Older than this, a heartbeat does not even say that its host is online; hosts follow the server's clock."""
_CLOCK_BACK_MS = 5_000
"""A last heartbeat so far ahead means that the server's clock was set back; then the order of times proves nothing."""
_SESSIONS = 4
"""Earlier sessions of a host that are remembered."""


class Sighting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a host: its last heartbeat, the sessions before it, and when it last seemed to be two."""

    facts: Heartbeat
    earlier_sessions: list[str] = []
    cloned_at: int | None = None


class Ignored(StrEnum):
    """Why a heartbeat is not taken."""

    STALE = "Stale"
    """It was written too long ago, or in the future."""
    REPLAYED = "Replayed"
    """It is not younger than the last one."""


class Seen(NamedTuple):
    """A heartbeat that was taken; *is_clone* if its session had ended, as another one had begun after it."""

    sighting: Sighting
    is_clone: bool


def see(known: Sighting | None, beat: Heartbeat, now_ms: int) -> Seen | Ignored:
    """Judge a heartbeat by what is known of its host.

    One identity on two machines shows by two sessions that speak in turn: a worker that was started again
    leaves its session behind for good.
    """
    if abs(beat.at_ms - now_ms) > _WITHIN_MS:
        return Ignored.STALE
    if known is None:
        return Seen(Sighting(facts=beat), is_clone=False)
    last = known.facts
    if beat.at_ms <= last.at_ms <= now_ms + _CLOCK_BACK_MS:
        return Ignored.REPLAYED
    if beat.session == last.session:
        return Seen(msgspec.structs.replace(known, facts=beat), is_clone=False)
    is_clone = beat.session in known.earlier_sessions
    earlier = [last.session, *(name for name in known.earlier_sessions if name not in (last.session, beat.session))]
    cloned_at = now_ms if is_clone else known.cloned_at
    return Seen(Sighting(facts=beat, earlier_sessions=earlier[:_SESSIONS], cloned_at=cloned_at), is_clone)
