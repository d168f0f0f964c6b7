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
CATCH_UP = "all"
_LOOK_AGAIN_MS = 86_400_000
"""At what a freeze holds back after its last time; the end of the freeze comes before."""


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
    act: int
    """When it was to be looked at, by the index."""
    frozen: str = ""
    """Why nothing may start on the fleet; empty if it may."""


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
    act: int | None = None
    """When to look again, if not when it is due next: a freeze holds it back."""


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
    if standing.frozen and definition.paused_at is None:
        return _held_back(_Moment(definition, zone, now_ms), standing)
    dues, rest = _passed(definition, zone, standing.due, now_ms)
    told = [_judge(_Moment(definition, zone, now_ms), due, bounds) for due in dues]
    if not _held_by(definition, zone, now_ms):
        told = _made_up(definition, told, bounds.catch_up_max)
    next_due = rest
    if rest is not None and _acts(definition, rest, zone) <= now_ms:
        next_due = definition.next_after(now_ms, zone)
        reason = f"And all that were due until {clock.to_text(now_ms)}: no beat worked."
        told.append(Occurrence(id=definition.id, due=rest, zone=zone, outcome=Outcome.MISSED, reason=reason, at=now_ms))
    told, is_last = _within(definition.policy.max_runs, standing.fired, told)
    if is_last:
        next_due = None
    if next_due is None and told:
        told[-1] = msgspec.structs.replace(told[-1], over=True)
    return Verdict(told, next_due, sum(occurrence.outcome is Outcome.FIRED for occurrence in told))


def _held_back(moment: _Moment, standing: Standing) -> Verdict:
    """Tell of each time that comes while the fleet is frozen, and stay at the first: afterwards it is as an outage.

    Those that acted before the one that is looked at were told of then.
    """
    definition, zone, now_ms = moment
    due: int | None = standing.due
    if _acts(definition, standing.due, zone) < standing.act:
        due = definition.next_after(standing.act - definition.policy.jitter_s * 1000 - 1, zone)
    told: list[Occurrence] = []
    while due is not None and _acts(definition, due, zone) <= now_ms and len(told) < _TOLD_MAX:
        if _acts(definition, due, zone) >= standing.act:
            told.append(
                Occurrence(
                    id=definition.id, due=due, zone=zone, outcome=Outcome.HELD, reason=standing.frozen, at=now_ms
                )
            )
        due = definition.next_after(due, zone)
    act = now_ms + _LOOK_AGAIN_MS if due is None else max(_acts(definition, due, zone), now_ms + 1)
    return Verdict(told, standing.due, 0, act)


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


def _judge(moment: _Moment, due: int, bounds: Bounds) -> Occurrence:
    definition, zone, now_ms = moment
    outcome, reason = Outcome.FIRED, ""
    late_ms = now_ms - _acts(definition, due, zone)
    if definition.paused_at is not None:
        outcome, reason = Outcome.PAUSED, "The schedule was paused."
    elif window := _held_by(definition, zone, due):
        outcome, reason = Outcome.HELD, f"Blackout: {window}."
    elif late_ms > bounds.grace_ms:
        outcome, reason = Outcome.MISSED, f"No beat worked when it was due; that was noticed {late_ms // 1000} s later."
    elif window := _held_by(definition, zone, now_ms):
        outcome, reason = Outcome.HELD, f"Blackout: {window}."
    overlap = definition.policy.overlap
    return Occurrence(id=definition.id, due=due, zone=zone, outcome=outcome, reason=reason, overlap=overlap, at=now_ms)


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
    overlap = CATCH_UP if definition.policy.misfire is Misfire.ALL else definition.policy.overlap
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
