"""From an occurrence in the outbox to a run: a child invocation with its own rows and orders, made once."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import ids
from fleethand_common.clock import elapsed_s
from fleethand_common.commands import RepeatMode
from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.sealing import PairKeys
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.invocation_seal import Ending
from fleethand_dispatcher.keyring import KeyringError
from fleethand_dispatcher.launching import Launch, Launcher, Prepared
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_dispatcher.rows import Cycle, Row
from fleethand_dispatcher.run_records import Making
from fleethand_dispatcher.schedule_records import entry_of
from fleethand_dispatcher.schedules.frequency import FrequencyKind
from fleethand_dispatcher.scheduling.deciding import CATCH_UP
from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.scheduling.memory import HOST_REMEMBERS_MS, Memory
from fleethand_dispatcher.scheduling.occurrences import Occurrence, Outcome, Run
from fleethand_dispatcher.scheduling.overdue import judge_again
from fleethand_dispatcher.scheduling.permits import Permits
from fleethand_dispatcher.scheduling.policy import Overlap
from fleethand_dispatcher.scheduling.roster import Crew, Roster
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.targets import Targets

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 2_000

_WAITING = frozenset({Overlap.QUEUE, CATCH_UP})


class _Job(NamedTuple):
    occurrence: Occurrence
    definition: Definition
    crew: Crew

    def told(self, outcome: Outcome, reason: str) -> "_Job":
        """Return the same with what becomes of it instead of a run."""
        return self._replace(occurrence=msgspec.structs.replace(self.occurrence, outcome=outcome, reason=reason))


class _Ready(NamedTuple):
    job: _Job
    run: Prepared | None
    targets: Targets


class Expander:
    """Carries occurrences out, in batches."""

    def __init__(
        self, store: Store, writer: LetterWriter, courier: Courier, permits: Permits, settings: Settings
    ) -> None:
        self._store = store
        self._peers = writer.peers
        self._courier = courier
        self._permits = permits
        self._settings = settings
        self._made: Memory[int] = Memory()
        """The due time of the newest run."""
        self._launcher = Launcher(store, writer, courier, settings)

    def expand(self, found: Sequence[Occurrence], now_ms: int, frozen: str = "", *, until_s: float = math.inf) -> int:
        """Make the runs of some occurrences and send their orders; what was done before is not done again.

        If this process dies in between, the reaper sends the orders of what is recorded.

        Args:
            frozen: why nothing may start on the fleet; empty if it may.
            until_s: when to begin nothing more, in `elapsed_s`.

        Returns:
            How many were carried out, from the first one on: one at least.
        """
        roster = Roster(self._store, self._settings.online_within_s * 1000)
        done = 0
        for some in self._portions(found):
            if done and elapsed_s() > until_s:
                break
            self._carry_out(some, roster, now_ms, frozen)
            done += len(some)
        return done

    def _portions(self, found: Sequence[Occurrence]) -> Iterator[Sequence[Occurrence]]:
        """Part occurrences by how many rows they make: some large runs must not wait for each other to be sent."""
        schedule_ids = list(dict.fromkeys(occurrence.id for occurrence in found))
        facts = self._store.schedules.facts([(schedule_id, "") for schedule_id in schedule_ids])
        sizes = {schedule_id: fact.unfinished for schedule_id, fact in zip(schedule_ids, facts, strict=True)}
        some: list[Occurrence] = []
        rows = 0
        for occurrence in found:
            some.append(occurrence)
            is_large = occurrence.outcome is Outcome.FIRED and not occurrence.only
            rows += sizes[occurrence.id] if is_large else 1
            if rows >= _ROWS_AT_ONCE:
                yield some
                some, rows = [], 0
        if some:
            yield some

    def _carry_out(self, found: Sequence[Occurrence], roster: Roster, now_ms: int, frozen: str) -> None:
        jobs = [self._admitted(job, now_ms, frozen) for job in self._jobs(found, roster)]
        peers = self._peers.keys_of(sorted({i for job in jobs for i in job.crew.instances}))
        parted = roster.parted([job.crew for job in jobs], peers, now_ms)
        ready = [self._ready(job, targets, peers, now_ms) for job, targets in zip(jobs, parted, strict=True)]
        makings = [self._making(each, now_ms) for each in ready]
        gone: list[str] = []
        for each, made in zip(ready, self._store.runs.make(makings), strict=True):
            gone += made.dropped
            self._note(each.job.occurrence)
            if each.run is not None and made.is_new:
                self._send(each.run, each.targets, made.instances, now_ms)
        for run_id in gone:
            self._store.invocations.forget(run_id)

    def _note(self, occurrence: Occurrence) -> None:
        if occurrence.outcome is Outcome.FIRED and not occurrence.only:
            self._made.note(_entry(occurrence), max(occurrence.due, self._made.last(_entry(occurrence)) or 0))

    def _send(self, run: Prepared, targets: Targets, chosen: Sequence[str], now_ms: int) -> None:
        online = [i for i in targets.online if i in set(chosen)]
        if online:
            self._courier.send_first(run.order, run.written.letter, online, now_ms)

    def _jobs(self, found: Sequence[Occurrence], roster: Roster) -> list[_Job]:
        schedule_ids = list(dict.fromkeys(occurrence.id for occurrence in found))
        definitions = dict(zip(schedule_ids, self._store.schedules.read(schedule_ids), strict=True))
        members = dict(zip(schedule_ids, self._store.invocations.targets_of(schedule_ids), strict=True))
        jobs = []
        for occurrence in found:
            definition = definitions[occurrence.id]
            if not isinstance(definition, Definition):
                logger.info("dropped an occurrence of %s: that is over, or cannot be read", occurrence.id)
                continue
            try:
                crew = roster.crew(definition, members[occurrence.id], occurrence.zone, occurrence.only)
                jobs.append(_Job(occurrence, definition, crew))
            except Exception:
                logger.exception("cannot find the targets of %s", occurrence.id)
                reason = "The control plane could not find its targets; its log says why."
                nobody = Crew((), (), (), members[occurrence.id])
                jobs.append(_Job(occurrence, definition, nobody).told(Outcome.SKIPPED, reason))
        return jobs

    def _admitted(self, job: _Job, now_ms: int, frozen: str) -> _Job:
        """Return a job as it may be carried out now, which is some time after it was decided."""
        occurrence, definition = job.occurrence, job.definition
        if occurrence.outcome is not Outcome.FIRED:
            return job
        if now_ms - occurrence.at > self._good_ms(job):
            was_made = occurrence.due <= (self._made.last(_entry(occurrence)) or 0)
            job = job._replace(occurrence=judge_again(definition, occurrence, now_ms, was_made=was_made))
            if job.occurrence.outcome is not Outcome.FIRED:
                return job
        if frozen:
            return job.told(Outcome.HELD, frozen)
        if not job.crew.instances:
            reason = "No host fits its targets." if not definition.aim.is_fixed else "No host takes part any more."
            return job.told(Outcome.SKIPPED, reason)
        if problem := self._permits.problem(definition, job.crew.instances):
            return job.told(Outcome.DENIED, problem)
        return job

    def _good_ms(self, job: _Job) -> int:
        """Return how long what was decided may be carried out: an old one that somebody kept must not run again.

        What waits for one host does so until the runs before it have ended.
        """
        if not job.occurrence.only:
            return HOST_REMEMBERS_MS
        snapshot = job.definition.snapshot
        window_s = snapshot.deliver_within_s or self._settings.delivery_window_s
        each_s = window_s + snapshot.timeout_s + snapshot.stop_grace_s + 2 * self._settings.lease_s
        return HOST_REMEMBERS_MS + int(each_s * 1000) * (1 + self._settings.schedule_catch_up_max)

    def _ready(self, job: _Job, targets: Targets, peers: Mapping[str, PairKeys], now_ms: int) -> _Ready:
        if job.occurrence.outcome is not Outcome.FIRED:
            return _Ready(job, None, targets)
        launch = Launch(
            snapshot=msgspec.structs.replace(job.definition.snapshot, repeat_mode=RepeatMode.ONCE, frequency=""),
            parameters=job.definition.parameters,
            targets=targets,
            now_ms=now_ms,
            schedule_id=job.definition.id,
        )
        try:
            return _Ready(job, self._launcher.prepare(run_id_of(job.occurrence), launch, peers), targets)
        except KeyringError as error:
            logger.error("cannot make the run of %s: %s", job.definition.id, error)
            return _Ready(job.told(Outcome.SKIPPED, str(error)), None, targets)

    def _making(self, ready: _Ready, now_ms: int) -> Making:
        job = ready.job
        occurrence, definition, crew = job
        run_id = run_id_of(occurrence)
        row = Run(
            id=run_id,
            due=occurrence.due,
            zone=occurrence.zone,
            at=now_ms,
            outcome=occurrence.outcome,
            reason=occurrence.reason,
        )
        return Making(
            run_id=run_id,
            occurrence=occurrence,
            recording=ready.run.recording if ready.run else None,
            row=row,
            joining="" if definition.aim.is_fixed else new_row(now_ms),
            over=_over(job),
            unrun=_unrun(job, now_ms),
            members=sorted({*crew.everyone, *crew.instances}) if job.occurrence.over else (),
            left=crew.left,
            left_unrun=_ending(InstanceStatus.STOPPED, "It was no target any more before its first run.", now_ms),
            may_wait=crew.instances if occurrence.overlap in _WAITING and ready.run else (),
            keep=self._settings.schedule_runs_kept,
        )


def _entry(occurrence: Occurrence) -> str:
    return entry_of(occurrence.id, occurrence.zone)


def _over(job: _Job) -> bool | list[str]:
    if not job.occurrence.over:
        return False
    return list({*job.crew.members, *job.crew.instances}) if job.definition.is_zoned else True


def _unrun(job: _Job, now_ms: int) -> Ending:
    """Return how rows end on which a schedule that is over never ran."""
    if job.occurrence.outcome is Outcome.MISSED:
        is_at = job.definition.frequency.kind is FrequencyKind.AT
        code = InstanceErrorCode.AT_EXPRESSION_EXPIRED if is_at else InstanceErrorCode.CRON_EXPRESSION_EXPIRED
        return _ending(INSTANCE_ERRORS[code].status, INSTANCE_ERRORS[code].info, now_ms, code)
    reason = job.occurrence.reason or "The schedule was over before its first run here."
    return _ending(InstanceStatus.STOPPED, reason, now_ms)


def _ending(status: InstanceStatus, info: str, now_ms: int, code: str = "") -> Ending:
    return Ending(status, now_ms, None, code, info, "", 0, presumed=False)


def run_id_of(occurrence: Occurrence) -> str:
    """Return the id of the run that an occurrence becomes."""
    return ids.run_id(occurrence.id, occurrence.due, "|".join(filter(None, (occurrence.zone, occurrence.only))))


def new_row(now_ms: int) -> str:
    """Return the row of an instance that begins to take part in a schedule."""
    row = Row(
        status=InstanceStatus.SCHEDULED,
        created_at=now_ms,
        updated_at=now_ms,
        sent_count=0,
        cycle=Cycle(),
        steps=[(now_ms, "created", "")],
    )
    return msgspec.json.encode(row).decode()
