"""What becomes of a run that was decided and not carried out: every beat died in between, or the server was away.

Pure, like `deciding`.
"""

import msgspec

from fleethand_dispatcher.scheduling.deciding import CATCH_UP
from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.scheduling.occurrences import Occurrence, Outcome
from fleethand_dispatcher.scheduling.passing import acts
from fleethand_dispatcher.scheduling.policy import Misfire


def judge_again(definition: Definition, occurrence: Occurrence, now_ms: int, *, was_made: bool) -> Occurrence:
    """Return what becomes of a run that is carried out too late: what the policies say of one that was missed.

    Args:
        was_made: whether this run, or a newer one, was made before: somebody kept this one, and it makes none.
    """
    late_s = (now_ms - occurrence.at) // 1000
    outcome, reason = Outcome.MISSED, f"No beat carried it out when it was decided, {late_s} s before."
    overlap = occurrence.overlap
    if definition.paused_at is not None:
        outcome, reason = Outcome.PAUSED, "The schedule was paused."
    elif window := definition.held_by(now_ms, occurrence.zone):
        outcome, reason = Outcome.HELD, f"Blackout: {window}."
    elif not was_made and not occurrence.only and _is_wanted(definition, occurrence, now_ms):
        outcome, reason = Outcome.FIRED, f"Made up for: it was decided {late_s} s before, and no beat carried it out."
        overlap = CATCH_UP if definition.policy.misfire is Misfire.ALL else overlap
    return msgspec.structs.replace(occurrence, outcome=outcome, reason=reason, overlap=overlap)


def _is_wanted(definition: Definition, occurrence: Occurrence, now_ms: int) -> bool:
    match definition.policy.misfire:
        case Misfire.ALL:
            return True
        case Misfire.LATEST:
            following = definition.next_after(occurrence.due, occurrence.zone)
            return following is None or acts(definition, following, occurrence.zone) > now_ms
        case Misfire.SKIP:
            return False
