"""What becomes of a schedule that is due: which of its times fire, which do not and why, and when it is due again.

Pure: the time, the schedule and how often it has fired are arguments; nothing is read or written.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import clock
from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.scheduling.occurrences import Occurrence, Outcome
from fleethand_dispatcher.scheduling.passing import acts, come
from fleethand_dispatcher.scheduling.policy import Misfire

CATCH_UP = "all"
_LOOK_AGAIN_MS = 86_400_000
"""At what a freeze holds back after its last time; the end of the freeze comes before."""


class Bounds(NamedTuple):
    """What the settings say."""

    grace_ms: int
    """A time that is further past than this was missed."""
    catch_up_max: int
    """Missed runs that are made up for at most."""
    told_max: int
    """Rows for times that passed unnoticed: the newest have one each, and one tells of all that came before them."""


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
    is_held: bool = False
    """Whether a freeze holds it back."""


def decide(definition: Definition, zone: str, standing: Standing, now_ms: int, bounds: Bounds) -> Verdict:
    """Judge every time of a schedule up to *now_ms*.

    Args:
        zone: the hosts' time zone, where the schedule has none of its own.
    """
    if not definition.is_due(standing.due, zone):  # somebody else wrote this time: it fires nothing
        return Verdict((), definition.next_after(now_ms, zone), 0)
    if standing.frozen and definition.paused_at is None:
        return _held_back(_Moment(definition, zone, now_ms), standing, bounds)
    moment = _Moment(definition, zone, now_ms)
    past = come(definition, zone, standing.due, now_ms, max(bounds.told_max - 1, bounds.catch_up_max))
    told = [_judge(moment, due, bounds) for due in past.newest]
    if not definition.held_by(now_ms, zone):
        told = _made_up(definition, told, bounds.catch_up_max)
    if past.older is not None:
        told.insert(0, _all_before(_judge(moment, past.older, bounds), standing.due))
    next_due = past.following
    told, is_last = _within(definition.policy.max_runs, standing.fired, told)
    if is_last:
        next_due = None
    if next_due is None and told:
        told[-1] = msgspec.structs.replace(told[-1], over=True)
    return Verdict(told, next_due, sum(occurrence.outcome is Outcome.FIRED for occurrence in told))


def _held_back(moment: _Moment, standing: Standing, bounds: Bounds) -> Verdict:
    """Tell of each time that comes while the fleet is frozen, and stay at the first: afterwards it is as an outage.

    Those that acted before the one that is looked at were told of then.
    """
    definition, zone, now_ms = moment
    first: int | None = standing.due
    if acts(definition, standing.due, zone) < standing.act:
        first = definition.next_after(standing.act - definition.policy.jitter_s * 1000 - 1, zone)
        while first is not None and acts(definition, first, zone) < standing.act:
            first = definition.next_after(first, zone)
    if first is None:
        return Verdict((), standing.due, 0, now_ms + _LOOK_AGAIN_MS, is_held=True)
    past = come(definition, zone, first, now_ms, bounds.told_max - 1)
    told = [_frozen(moment, due, standing.frozen) for due in past.newest]
    if past.older is not None:
        told.insert(0, _all_before(_frozen(moment, past.older, standing.frozen), first))
    act = now_ms + _LOOK_AGAIN_MS if past.following is None else acts(definition, past.following, zone)
    return Verdict(told, standing.due, 0, act, is_held=True)


def _frozen(moment: _Moment, due: int, reason: str) -> Occurrence:
    definition, zone, now_ms = moment
    return Occurrence(id=definition.id, due=due, zone=zone, outcome=Outcome.HELD, reason=reason, at=now_ms)


def _all_before(occurrence: Occurrence, first: int) -> Occurrence:
    """Let one occurrence tell also of those before it, from *first* on."""
    if occurrence.due == first:
        return occurrence
    reason = f"{occurrence.reason} This row tells of all times since {clock.to_text(first)}."
    return msgspec.structs.replace(occurrence, reason=reason)


def _judge(moment: _Moment, due: int, bounds: Bounds) -> Occurrence:
    definition, zone, now_ms = moment
    outcome, reason = Outcome.FIRED, ""
    late_ms = now_ms - acts(definition, due, zone)
    if definition.paused_at is not None:
        outcome, reason = Outcome.PAUSED, "The schedule was paused."
    elif window := definition.held_by(due, zone):
        outcome, reason = Outcome.HELD, f"Blackout: {window}."
    elif late_ms > bounds.grace_ms:
        outcome, reason = Outcome.MISSED, f"No beat worked when it was due; that was noticed {late_ms // 1000} s later."
    elif window := definition.held_by(now_ms, zone):
        outcome, reason = Outcome.HELD, f"Blackout: {window}."
    overlap = definition.policy.overlap
    return Occurrence(id=definition.id, due=due, zone=zone, outcome=outcome, reason=reason, overlap=overlap, at=now_ms)


def _made_up(definition: Definition, told: list[Occurrence], catch_up_max: int) -> list[Occurrence]:
    """Let those of the missed ones run that the policy wants; what fires anyway is newer than any of them."""
    missed = [index for index, occurrence in enumerate(told) if occurrence.outcome is Outcome.MISSED]
    match definition.policy.misfire:
        case Misfire.LATEST if not any(occurrence.outcome is Outcome.FIRED for occurrence in told):
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
