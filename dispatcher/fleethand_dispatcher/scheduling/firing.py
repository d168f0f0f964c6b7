"""The engine that a beat turns: what is due fires in one fenced step, and what has fired becomes runs."""

import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fleethand_dispatcher.bus import RedisOrderBus
from fleethand_dispatcher.connection import is_servers_fault
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.lease import Holder
from fleethand_dispatcher.schedule_records import Due, EntryFacts, Firing
from fleethand_dispatcher.scheduling import occurrences
from fleethand_dispatcher.scheduling.deciding import Bounds, Standing, Verdict, decide, jitter_ms
from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.scheduling.expanding import Expander
from fleethand_dispatcher.scheduling.occurrences import Occurrence, Outcome
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

logger = logging.getLogger(__name__)

_BATCH = 500
_LONGEST_SLEEP_S = 1.0
"""A third of the lease."""
_EXACT_S = 0.12
"""A server ends a blocking read up to this much late, so the last bit is slept through here."""
_TRY_AGAIN_MS = 60_000
_BEGIN = b"0"


class Turn(NamedTuple):
    """What one turn of the engine did."""

    fired: int
    made: int


class Engine:
    """Fires the schedules of one server, while the lease is held."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._expander = Expander(store, Courier(store, RedisOrderBus(store.client), settings), settings)
        self._bounds = Bounds(int(settings.schedule_grace_s * 1000), settings.schedule_catch_up_max)
        self._seen = _BEGIN

    def turn(self, holder: Holder) -> Turn:
        """Fire what is due, some at a time, and make the runs of what has fired, by whomever."""
        dues = self._store.schedules.due(holder.at_ms, _BATCH)
        if dues and not self._fire(dues, holder):
            return Turn(0, 0)
        entries = self._store.schedules.outbox(_BATCH)
        if entries:
            self._seen = entries[-1][0]
            self._expand([occurrence for _, occurrence in entries if occurrence], holder.at_ms)
            self._store.schedules.carried_out([entry_id for entry_id, _ in entries])
        return Turn(len(dues), len(entries))

    def _expand(self, found: Sequence[Occurrence], now_ms: int) -> None:
        """Carry out all of *found*; one that cannot be is told in the log, and the others are."""
        try:
            self._expander.expand(found, now_ms)
        except Exception as error:
            if is_servers_fault(error):
                raise
            if len(found) == 1:
                logger.exception("cannot make the run of %s that was due at %d", found[0].id, found[0].due)
                self._tell_failure(found[0], now_ms)
                return
            for occurrence in found:
                self._expand([occurrence], now_ms)

    def _tell_failure(self, occurrence: Occurrence, now_ms: int) -> None:
        """Give an occurrence that could not be carried out its row, as any other has; it is not tried for ever."""
        if occurrence.outcome is not Outcome.FIRED:
            return
        reason = "The control plane could not make the run; the beat's log says why."
        told = msgspec.structs.replace(occurrence, outcome=Outcome.SKIPPED, reason=reason)
        self._expand([told], now_ms)

    def sleep(self, holder: Holder) -> None:
        """Sleep until the next schedule is due, a new one comes, or the lease must be renewed."""
        next_ms = self._store.schedules.next_act_ms()
        left_s = _LONGEST_SLEEP_S if next_ms is None else min(_LONGEST_SLEEP_S, (next_ms - holder.at_ms) / 1000)
        if left_s > 2 * _EXACT_S:
            self._store.schedules.wait(self._seen, left_s - _EXACT_S)
        elif left_s > 0:
            time.sleep(left_s)

    def _fire(self, dues: list[Due], holder: Holder) -> bool:
        schedule_ids = list(dict.fromkeys(due.schedule_id for due in dues))
        known = dict(zip(schedule_ids, self._store.schedules.read(schedule_ids), strict=True))
        facts = self._store.schedules.facts([(due.schedule_id, due.zone) for due in dues])
        firings = [
            self._firing(due, known[due.schedule_id], fact, holder.at_ms) for due, fact in zip(dues, facts, strict=True)
        ]
        return self._store.schedules.fire(holder.name, holder.epoch, firings)

    def _firing(self, due: Due, definition: Definition | None, facts: EntryFacts, now_ms: int) -> Firing:
        if definition is None or (definition.aim.is_fixed and not facts.unfinished):
            return _moved(due, Verdict((), None, 0), act=0)
        try:
            standing = Standing(facts.next_due or due.act_ms, facts.fired, facts.paused_at is not None)
            verdict = decide(definition, due.zone, standing, now_ms, self._bounds)
        except Exception:
            logger.exception("cannot tell when %s is due; looking again in a minute", due.entry)
            return _moved(due, Verdict((), facts.next_due or due.act_ms, 0), act=now_ms + _TRY_AGAIN_MS)
        if not verdict.occurrences:
            logger.warning("%s was to fire at %s, which is no time of its own: it did not", due.entry, facts.next_due)
        act = verdict.next_due + jitter_ms(definition, verdict.next_due, due.zone) if verdict.next_due else 0
        return _moved(due, verdict, act=act)


def _moved(due: Due, verdict: Verdict, *, act: int) -> Firing:
    return Firing(
        entry=due.entry,
        id=due.schedule_id,
        zone=due.zone,
        old=due.act_ms,
        next=verdict.next_due or False,
        act=act,
        fired=verdict.fired,
        occurrences=[occurrences.encode(occurrence).decode() for occurrence in verdict.occurrences],
    )
