"""From an occurrence in the outbox to a run: a child invocation with its own rows and orders, made once."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from fleethand_common import ids
from fleethand_common.commands import RepeatMode
from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.launching import Launch, Launcher, Prepared
from fleethand_dispatcher.rows import Cycle, Row
from fleethand_dispatcher.schedule_records import Making
from fleethand_dispatcher.schedules.frequency import FrequencyKind
from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.scheduling.occurrences import Occurrence, Outcome, Run
from fleethand_dispatcher.scheduling.roster import Crew, Roster
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.targets import Targets

logger = logging.getLogger(__name__)

_NOBODY = Crew((), (), ())


class _Job(NamedTuple):
    occurrence: Occurrence
    definition: Definition
    crew: Crew


class Expander:
    """Carries occurrences out, in batches."""

    def __init__(self, store: Store, courier: Courier, settings: Settings) -> None:
        self._store = store
        self._courier = courier
        self._settings = settings
        self._launcher = Launcher(store, courier, settings)

    def expand(self, found: Sequence[Occurrence], now_ms: int) -> None:
        """Make the runs of some occurrences and send their orders; what was done before is not done again.

        If this process dies in between, the reaper sends the orders of what is recorded.
        """
        roster = Roster(self._store, self._settings.online_within_s * 1000)
        jobs = self._jobs(found, roster)
        parted = roster.parted([job.crew for job in jobs], now_ms)
        ready: list[tuple[Prepared | None, Targets]] = []
        makings: list[Making] = []
        for job, targets in zip(jobs, parted, strict=True):
            prepared = self._prepare(job, targets, now_ms)
            ready.append((prepared, targets))
            makings.append(self._making(job, prepared, now_ms))
        gone: list[str] = []
        for (prepared, targets), made in zip(ready, self._store.schedules.make(makings), strict=True):
            gone += made.dropped
            if prepared is None or not made.is_new:
                continue
            chosen = set(made.instances)
            online = [i for i in targets.online if i in chosen]
            if online:
                self._courier.send_first(prepared.order, prepared.body, online, now_ms)
        for run_id in gone:
            self._store.invocations.forget(run_id)

    def _jobs(self, found: Sequence[Occurrence], roster: Roster) -> list[_Job]:
        schedule_ids = list(dict.fromkeys(occurrence.id for occurrence in found))
        definitions = dict(zip(schedule_ids, self._store.schedules.read(schedule_ids), strict=True))
        members = dict(zip(schedule_ids, self._store.invocations.targets_of(schedule_ids), strict=True))
        jobs = []
        for occurrence in found:
            definition = definitions[occurrence.id]
            if definition is None:
                logger.info("dropped an occurrence of %s: that is over", occurrence.id)
                continue
            try:
                crew = roster.crew(definition, members[occurrence.id], occurrence.zone, occurrence.only)
                jobs.append(_Job(occurrence, definition, crew))
            except Exception:
                logger.exception("cannot find the targets of %s", occurrence.id)
                reason = "The control plane could not find its targets; its log says why."
                told = msgspec.structs.replace(occurrence, outcome=Outcome.SKIPPED, reason=reason)
                jobs.append(_Job(told, definition, _NOBODY))
        return jobs

    def _prepare(self, job: _Job, targets: Targets, now_ms: int) -> Prepared | None:
        if job.occurrence.outcome is not Outcome.FIRED or not targets.all:
            return None
        snapshot = msgspec.structs.replace(job.definition.snapshot, repeat_mode=RepeatMode.ONCE, frequency="")
        launch = Launch(
            snapshot=snapshot,
            parameters=job.definition.parameters,
            targets=targets,
            now_ms=now_ms,
            schedule_id=job.definition.id,
        )
        return self._launcher.prepare(run_id_of(job.occurrence), launch)

    def _making(self, job: _Job, prepared: Prepared | None, now_ms: int) -> Making:
        occurrence, definition = job.occurrence, job.definition
        if prepared is None and occurrence.outcome is Outcome.FIRED:
            reason = "No host fits its targets." if not definition.aim.is_fixed else "No host takes part any more."
            occurrence = msgspec.structs.replace(occurrence, outcome=Outcome.SKIPPED, reason=reason)
        run_id = run_id_of(occurrence)
        run = Run(
            id=run_id,
            due=occurrence.due,
            zone=occurrence.zone,
            at=now_ms,
            outcome=occurrence.outcome,
            reason=occurrence.reason,
        )
        how: dict[str, Any] = {
            "run": msgspec.to_builtins(run),
            "joining": False if definition.aim.is_fixed else new_row(now_ms),
            "over": _over(job),
            "unrun": _unrun(job),
            "left": list(job.crew.left),
            "keep": self._settings.schedule_runs_kept,
        }
        if prepared is None:
            return Making(run_id, occurrence, b"", b"", {}, (), how)
        times = {**prepared.times, "parent": definition.id}
        return Making(run_id, occurrence, prepared.snapshot, prepared.body, times, prepared.groups, how)


def _over(job: _Job) -> bool | list[str]:
    if not job.occurrence.over:
        return False
    return list({*job.crew.members, *job.crew.instances}) if job.definition.is_zoned else True


def _unrun(job: _Job) -> tuple[str, str, str]:
    """Return how rows end on which a schedule that is over never ran."""
    if job.occurrence.outcome is Outcome.MISSED:
        is_at = job.definition.frequency.kind is FrequencyKind.AT
        code = InstanceErrorCode.AT_EXPRESSION_EXPIRED if is_at else InstanceErrorCode.CRON_EXPRESSION_EXPIRED
        return INSTANCE_ERRORS[code].status, code, INSTANCE_ERRORS[code].info
    return InstanceStatus.STOPPED, "", job.occurrence.reason or "The schedule was over before its first run here."


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
