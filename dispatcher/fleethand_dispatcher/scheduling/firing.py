"""The engine that a beat turns: what is due fires in one fenced step, and what has fired becomes runs."""

import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import clock
from fleethand_common.clock import elapsed_s
from fleethand_dispatcher.alerts import Alert, Alerts
from fleethand_dispatcher.bus import RedisOrderBus
from fleethand_dispatcher.connection import is_servers_fault
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.freezing import is_frozen
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.lease import Holder
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_dispatcher.peers import Peers
from fleethand_dispatcher.schedule_records import Due, EntryFacts, Firing
from fleethand_dispatcher.scheduling import occurrences
from fleethand_dispatcher.scheduling.deciding import Bounds, Standing, Verdict, decide
from fleethand_dispatcher.scheduling.definitions import Definition, Unreadable
from fleethand_dispatcher.scheduling.expanding import Expander
from fleethand_dispatcher.scheduling.memory import Decision, Memory
from fleethand_dispatcher.scheduling.occurrences import Occurrence, Outcome
from fleethand_dispatcher.scheduling.passing import acts
from fleethand_dispatcher.scheduling.permits import Permits
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

logger = logging.getLogger(__name__)

_BATCH = 500
_LONGEST_SLEEP_S = 1.0
"""A third of the lease."""
_EXACT_S = 0.12
"""A server ends a blocking read up to this much late, so the last bit is slept through here."""
_DECIDING_S = 0.5
"""What is decided counts only under the lease, so no step may take long: after a long outage, each has many times."""
_EXPANDING_S = 0.5
"""Whoever takes the lease over does again what was begun, so it must not be much; one run takes as long as it does."""
_TOLD_MAX = 100
_TRY_AGAIN_MS = 60_000
_BEGIN = b"0"
_ID_CHARS = 100


def _bounds(settings: Settings) -> Bounds:
    """Return the bounds that *settings* say; an outage may fill half of a schedule's list of runs, not push it out."""
    told_max = max(2, min(_TOLD_MAX, settings.schedule_runs_kept // 2))
    return Bounds(int(settings.schedule_grace_s * 1000), settings.schedule_catch_up_max, told_max)


class Turn(NamedTuple):
    """What one turn of the engine did."""

    fired: int
    made: int


class Engine:
    """Fires the schedules of one server, while the lease is held."""

    def __init__(self, store: Store, settings: Settings, keyring: Keyring) -> None:
        self._store = store
        bus = RedisOrderBus(store.client)
        self._directives = Directives(store, bus, keyring)
        self._alerts = Alerts(store.security, store.audit.append, now_ms=store.now_ms)
        writer = LetterWriter(keyring, Peers(store.hosts))
        permits = Permits(store, settings, self._directives)
        self._expander = Expander(store, writer, Courier(store, bus, settings), permits, settings)
        self._bounds = _bounds(settings)
        self._seen = _BEGIN
        self._decided: Memory[Decision] = Memory()
        self._epoch = 0
        self._may_hold = False
        self._has_backlog = False

    def turn(self, holder: Holder) -> Turn:
        """Fire what is due, some at a time, and make the runs of what has fired, by whomever."""
        if holder.epoch != self._epoch:
            self._epoch, self._may_hold = holder.epoch, self._store.schedules.holds()
        if self._may_hold and not self._frozen():
            self._store.schedules.release(holder.at_ms)
            self._may_hold = False
        dues = self._dues(holder.at_ms)
        fired = self._fire(dues, holder) if dues else 0
        if fired is None:
            return Turn(0, 0)
        made = self._empty_outbox(holder.at_ms)
        self._alerts.flush()
        return Turn(fired, made)

    def _empty_outbox(self, now_ms: int) -> int:
        """Carry out what waits longest, as much as fits into the time; returns how much there was."""
        entries = self._store.schedules.outbox(_BATCH)
        self._has_backlog = len(entries) == _BATCH
        if entries:
            self._seen = entries[-1][0]
            found = [(entry_id, each) for entry_id, each in entries if each and self._is_ours(each)]
            done = self._expand([each for _, each in found], now_ms, elapsed_s() + _EXPANDING_S)
            left = {entry_id for entry_id, _ in found[done:]}
            self._store.schedules.carried_out([entry_id for entry_id, _ in entries if entry_id not in left])
        return len(entries)

    def _dues(self, now_ms: int) -> list[Due]:
        """Return what to decide on, first what is in time.

        What was missed can wait: it is many rows each after an outage, so it is decided as fast as these are written,
        and nothing that is in time becomes late behind it.
        """
        since_ms = now_ms - self._bounds.grace_ms
        found = self._store.schedules.due(now_ms, _BATCH, since_ms=since_ms)
        if not self._has_backlog and len(found) < _BATCH:
            found += self._store.schedules.due(since_ms - 1, _BATCH - len(found))
        return found

    def _frozen(self) -> str:
        frozen = is_frozen(self._directives)
        if frozen is None:
            return ""
        return f"{frozen.actor} froze the fleet" + (f": {frozen.reason}" if frozen.reason else ".")

    def _is_ours(self, occurrence: Occurrence) -> bool:
        if occurrences.is_decided(self._store.vault, occurrence):
            return True
        self._alert(occurrence.id, "Outbox", "an occurrence in the outbox that no beat decided; it makes no run")
        return False

    def _alert(self, schedule_id: str, reason: str, detail: str) -> None:
        self._alerts.add(Alert("schedule.forged", reason, target=schedule_id[:_ID_CHARS], detail=detail))

    def _expand(self, found: Sequence[Occurrence], now_ms: int, until_s: float) -> int:
        """Carry out *found*, as many as fit into the time; one that cannot be is told in the log, and the others are.

        Returns:
            How many, from the first one on.
        """
        if not found:
            return 0
        try:
            return self._expander.expand(found, now_ms, self._frozen(), until_s=until_s)
        except Exception as error:
            if is_servers_fault(error):
                raise
            if len(found) == 1:
                logger.exception("cannot make the run of %s that was due at %d", found[0].id, found[0].due)
                self._tell_failure(found[0], now_ms, until_s)
                return 1
        for number, occurrence in enumerate(found):
            if number and elapsed_s() > until_s:
                return number
            self._expand([occurrence], now_ms, until_s)
        return len(found)

    def _tell_failure(self, occurrence: Occurrence, now_ms: int, until_s: float) -> None:
        """Give an occurrence that could not be carried out its row, as any other has; it is not tried for ever."""
        if occurrence.outcome is not Outcome.FIRED:
            return
        reason = "The control plane could not make the run; the beat's log says why."
        told = msgspec.structs.replace(occurrence, outcome=Outcome.SKIPPED, reason=reason)
        self._expand([told], now_ms, until_s)

    def sleep(self, holder: Holder) -> None:
        """Sleep until the next schedule is due, a new one comes, or the lease must be renewed."""
        next_ms = self._store.schedules.next_act_ms()
        left_s = _LONGEST_SLEEP_S if next_ms is None else min(_LONGEST_SLEEP_S, (next_ms - holder.at_ms) / 1000)
        if left_s > 2 * _EXACT_S:
            self._store.schedules.wait(self._seen, left_s - _EXACT_S)
        elif left_s > 0:
            time.sleep(left_s)

    def _fire(self, dues: list[Due], holder: Holder) -> int | None:
        """Decide on the first of *dues*, as many as fit into the time; returns how many, None without the lease."""
        schedule_ids = list(dict.fromkeys(due.schedule_id for due in dues))
        known = dict(zip(schedule_ids, self._store.schedules.read(schedule_ids), strict=True))
        facts = self._store.schedules.facts([(due.schedule_id, due.zone) for due in dues])
        frozen = self._frozen()
        verdicts: list[tuple[Due, Verdict]] = []
        until_s = elapsed_s() + _DECIDING_S
        for due, fact in zip(dues, facts, strict=True):
            verdicts.append((due, self._verdict(due, known[due.schedule_id], fact, holder.at_ms, frozen)))
            if elapsed_s() > until_s:  # the rest stays due, for the next turn
                break
        firings = [self._moved(due, verdict) for due, verdict in verdicts]
        # before it is done: where the answer is lost, it is done all the same
        self._may_hold = self._may_hold or any(verdict.is_held for _, verdict in verdicts)
        if not self._store.schedules.fire(holder.name, holder.epoch, firings):
            return None
        for due, verdict in verdicts:
            self._note(due, known[due.schedule_id], verdict, holder.at_ms)
        return len(verdicts)

    def _verdict(
        self, due: Due, definition: Definition | Unreadable | None, facts: EntryFacts, now_ms: int, frozen: str
    ) -> Verdict:
        """Return what becomes of an entry that is due."""
        standing = Standing(facts.next_due or due.act_ms, facts.fired, due.act_ms, frozen)
        later = Verdict((), standing.due, 0, now_ms + _TRY_AGAIN_MS)
        if isinstance(definition, Unreadable):
            self._alert(definition.id, "Definition", definition.reason)
            return later
        if definition is None or (definition.aim.is_fixed and not facts.unfinished):
            return Verdict((), None, 0)
        try:
            verdict = self._decide(due, definition, standing, now_ms)
        except Exception:
            logger.exception("cannot tell when %s is due; looking again in a minute", due.entry)
            return later
        if verdict.next_due and verdict.act is None:
            verdict = verdict._replace(act=acts(definition, verdict.next_due, due.zone))
        return verdict

    def _decide(self, due: Due, definition: Definition, standing: Standing, now_ms: int) -> Verdict:
        before = self._decided.last(due.entry)
        if before and before.covers(definition.version, standing.due):
            if not before.can_be_made_again(definition.version, standing.due, now_ms):
                return self._put_back(due, definition, standing, before, now_ms)
            logger.warning("the server forgot that %s was decided for %d; deciding again", due.entry, standing.due)
        verdict = decide(definition, due.zone, standing, now_ms, self._bounds)
        if not verdict.occurrences and not standing.frozen:
            detail = f"it was to fire at {standing.due}, which is no time of its own that has come; it did not"
            self._alert(due.schedule_id, "Index", detail)
        return verdict

    def _put_back(self, due: Due, definition: Definition, standing: Standing, before: Decision, now_ms: int) -> Verdict:
        """Fire nothing, and tell: a server that lost its last writes and somebody who put them back look the same."""
        detail = f"it was put back to version {definition.version}, {standing.due}: that was decided before"
        self._alert(due.schedule_id, "Index", detail)
        following = definition.next_after(before.last if definition.version == before.version else now_ms, due.zone)
        if not definition.is_due(standing.due, due.zone):
            return Verdict((), following, 0)
        when = clock.to_text(before.at)
        told = Occurrence(
            id=definition.id,
            due=standing.due,
            zone=due.zone,
            outcome=Outcome.MISSED,
            reason=f"What was decided at {when} is not in the records any more: lost, or put back by somebody.",
            over=following is None,
            at=now_ms,
        )
        return Verdict([told], following, 0)

    def _note(self, due: Due, definition: Definition | Unreadable | None, verdict: Verdict, now_ms: int) -> None:
        """Remember what was decided for good: what a freeze holds back is not."""
        if not isinstance(definition, Definition) or not verdict.occurrences:
            return
        first, last = verdict.occurrences[0].due, verdict.occurrences[-1].due
        before = self._decided.last(due.entry)
        is_news = before is None or not before.covers(definition.version, last)
        if is_news and last < (verdict.next_due or last + 1):
            self._decided.note(due.entry, Decision(definition.version, first, last, now_ms))

    def _moved(self, due: Due, verdict: Verdict) -> Firing:
        told = [occurrences.marked(self._store.vault, occurrence) for occurrence in verdict.occurrences]
        return Firing(
            entry=due.entry,
            id=due.schedule_id,
            zone=due.zone,
            old=due.act_ms,
            next=verdict.next_due or False,
            act=verdict.act or 0,
            fired=verdict.fired,
            held=verdict.is_held,
            occurrences=[occurrences.encode(occurrence).decode() for occurrence in told],
        )
