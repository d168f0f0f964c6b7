"""What becomes of a schedule that is due: which of its times fire, which do not and why, and when it is due again.

Pure: the time, the schedule and how often it has fired are arguments; nothing is read or written.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import clock
from fleethand_dispatcher.scheduling.definitions import Definition, zone_of
from fleethand_dispatcher.scheduling.occurrences import Occurrence, Outcome
from fleethand_dispatcher.scheduling.policy import Misfire

_TOLD_MAX = 100
"""Times that passed unnoticed and get a row each; of more, one row tells."""
_CATCH_UP = "all"


class Bounds(NamedTuple):
    """What the settings say."""

    grace_ms: int
    """A time that is further past than this was missed."""
    catch_up_max: int
    """Missed runs that are made up for at most."""


class Standing(NamedTuple):
    """Where a schedule stands, for the hosts of one time zone or for all."""

    due: int
    """The time at which it is due next; it may be past."""
    fired: int
    """Runs so far."""
    paused: bool


class _Moment(NamedTuple):
    """What is judged, and when."""

    definition: Definition
    zone: str
    now_ms: int


class Verdict(NamedTuple):
    """What follows."""

    occurrences: Sequence[Occurrence]
    next_due: int | None
    """None: there is no further one."""
    fired: int
    """How many of the occurrences count as runs."""


def jitter_ms(definition: Definition, due: int, zone: str = "") -> int:
    """Return by how much a run is put off: less than the policy's jitter, and the same for everyone who asks."""
    most = definition.policy.jitter_s * 1000
    if not most:
        return 0
    digest = hashlib.blake2b(f"{definition.id}|{zone}|{due}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % most


def decide(definition: Definition, zone: str, standing: Standing, now_ms: int, bounds: Bounds) -> Verdict:
    """Judge every time of a schedule up to *now_ms*.

    Args:
        zone: the hosts' time zone, where the schedule has none of its own.
    """
    if not definition.is_due(standing.due, zone):  # somebody else wrote this time: it fires nothing
        return Verdict((), definition.next_after(now_ms, zone), 0)
    dues, rest = _passed(definition, zone, standing.due, now_ms)
    told = [_judge(_Moment(definition, zone, now_ms), due, bounds, is_paused=standing.paused) for due in dues]
    if not _held_by(definition, zone, now_ms):
        told = _made_up(definition, told, bounds.catch_up_max)
    next_due = rest
    if rest is not None and _acts(definition, rest, zone) <= now_ms:
        next_due = definition.next_after(now_ms, zone)
        reason = f"And all that were due until {clock.to_text(now_ms)}: no beat worked."
        told.append(Occurrence(id=definition.id, due=rest, zone=zone, outcome=Outcome.MISSED, reason=reason))
    told, is_last = _within(definition.policy.max_runs, standing.fired, told)
    if is_last:
        next_due = None
    if next_due is None and told:
        told[-1] = msgspec.structs.replace(told[-1], over=True)
    return Verdict(told, next_due, sum(occurrence.outcome is Outcome.FIRED for occurrence in told))


def _acts(definition: Definition, due: int, zone: str) -> int:
    return due + jitter_ms(definition, due, zone)


def _passed(definition: Definition, zone: str, due: int, now_ms: int) -> tuple[list[int], int | None]:
    """Return the times that have come, and the first one after them."""
    dues: list[int] = []
    following: int | None = due
    while following is not None and _acts(definition, following, zone) <= now_ms and len(dues) < _TOLD_MAX:
        dues.append(following)
        following = definition.next_after(following, zone)
    return dues, following


def _judge(moment: _Moment, due: int, bounds: Bounds, *, is_paused: bool) -> Occurrence:
    definition, zone, now_ms = moment
    outcome, reason = Outcome.FIRED, ""
    late_ms = now_ms - _acts(definition, due, zone)
    if is_paused:
        outcome, reason = Outcome.PAUSED, "The schedule was paused."
    elif window := _held_by(definition, zone, due):
        outcome, reason = Outcome.HELD, f"Blackout: {window}."
    elif late_ms > bounds.grace_ms:
        outcome, reason = Outcome.MISSED, f"No beat worked when it was due; that was noticed {late_ms // 1000} s later."
    elif window := _held_by(definition, zone, now_ms):
        outcome, reason = Outcome.HELD, f"Blackout: {window}."
    overlap = definition.policy.overlap
    return Occurrence(id=definition.id, due=due, zone=zone, outcome=outcome, reason=reason, overlap=overlap)


def _held_by(definition: Definition, zone: str, at_ms: int) -> str:
    if not definition.policy.blackout:
        return ""
    own = definition.frequency.zone or zone_of(zone)
    window = definition.blackout.first_covering(clock.to_datetime(at_ms), own)
    return "" if window is None else window.text


def _made_up(definition: Definition, told: list[Occurrence], catch_up_max: int) -> list[Occurrence]:
    """Let those of the missed ones run that the policy wants."""
    missed = [index for index, occurrence in enumerate(told) if occurrence.outcome is Outcome.MISSED]
    match definition.policy.misfire:
        case Misfire.LATEST if missed and missed[-1] == len(told) - 1:  # a newer one is due anyway otherwise
            chosen = missed[-1:]
        case Misfire.ALL:
            chosen = missed[-catch_up_max:]
        case _:
            chosen = []
    overlap = _CATCH_UP if definition.policy.misfire is Misfire.ALL else definition.policy.overlap
    for index in chosen:
        told[index] = msgspec.structs.replace(
            told[index], outcome=Outcome.FIRED, reason="Made up for: no beat worked when it was due.", overlap=overlap
        )
    return told


def _within(max_runs: int | None, fired: int, told: list[Occurrence]) -> tuple[list[Occurrence], bool]:
    """Cut off what goes beyond the most runs; tells whether the last one is reached."""
    if max_runs is None:
        return told, False
    for index, occurrence in enumerate(told):
        fired += occurrence.outcome is Outcome.FIRED
        if fired >= max_runs:
            return told[: index + 1], True
    return told, False
