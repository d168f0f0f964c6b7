"""What schedules there are, when they run next, and what became of the times at which they were due."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from fleethand_common import clock
from fleethand_common.commands import RepeatMode
from fleethand_common.states import InstanceStatus, aggregate
from fleethand_dispatcher import paging
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.models import InvocationResult, Page, Schedule, ScheduledRun
from fleethand_dispatcher.reading import Reader
from fleethand_dispatcher.rows import Head
from fleethand_dispatcher.schedule_records import EntryFacts
from fleethand_dispatcher.scheduling.definitions import Definition, Unreadable
from fleethand_dispatcher.scheduling.occurrences import Run
from fleethand_dispatcher.store import Store


class _Facts(NamedTuple):
    """All that is told of one schedule."""

    definition: Definition | Unreadable
    head: Head
    entries: Sequence[EntryFacts]
    last_run: ScheduledRun | None
    now_ms: int


class Lister:
    """Answers questions about schedules; changes nothing."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    def describe(self, invoke_id: str | None, max_results: int, next_token: str) -> Page[Schedule]:
        """Return living schedules by id, or the one with this id."""
        size = paging.check_size(max_results)
        start = paging.position(next_token, str) or ""
        found = [i for i in self._store.schedules.ids() if i > start and invoke_id in (None, i)]
        chosen = found[:size]
        items = [_schedule(facts) for facts in self._facts(chosen)]
        return Page(items=items, next_token=paging.token(chosen[-1]) if len(found) > size else "")

    def _facts(self, schedule_ids: Sequence[str]) -> Iterator[_Facts]:
        """Read all that is told of several schedules, in as many round trips as for one."""
        newest = self._store.runs.newest(schedule_ids)
        ran = [run.id for run in newest if run]
        now_ms = self._store.now_ms()
        heads = dict(zip(ran, self._store.invocations.heads(ran), strict=True))
        for definition, head, entries, run in zip(
            self._store.schedules.read(schedule_ids),
            self._store.invocations.heads(schedule_ids),
            self._store.schedules.standings(schedule_ids),
            newest,
            strict=True,
        ):
            if definition and head:
                yield _Facts(definition, head, entries, _run(run, heads[run.id]) if run else None, now_ms)

    def definition(self, schedule_id: str) -> Definition:
        """Return what is kept of a living schedule.

        Raises:
            RequestError: `InvalidInvokeId.NotFound`, or the codes of spec 2.8 for what does not repeat or is over.
        """
        self._check_repeats(schedule_id)
        found = self._store.schedules.definition(schedule_id)
        if found is None:
            raise refusal("InvalidOperation.InvokeAlreadyFinished", f"The schedule {schedule_id} is over.")
        if isinstance(found, Unreadable):
            raise refusal("Operation.Forbidden", f"{found.reason}; it does not fire. Stop it and make it again.")
        return found

    def runs(self, schedule_id: str, max_results: int) -> list[ScheduledRun]:
        """Return what became of the latest times at which a schedule was due, the newest first."""
        self._check_repeats(schedule_id)
        rows = self._store.runs.runs(schedule_id, newest=max_results)
        heads = self._store.invocations.heads([row.id for row in rows])
        return [_run(row, head) for row, head in zip(rows, heads, strict=True)]

    def history(
        self,
        schedule_id: str,
        instance_id: str | None,
        statuses: Sequence[str] | None,
        max_results: int,
        next_token: str,
    ) -> Page[InvocationResult]:
        """Return a row for each execution of a schedule, newest run first (spec 2.10); `repeats` is 1 if it started.

        Raises:
            RequestError: `InvalidOperation.RepeatModeUnsupported` for what runs once, which has no history.
        """
        self._check_repeats(schedule_id)
        size = paging.check_size(max_results)
        start = paging.position(next_token, tuple[str, str])
        found: list[InvocationResult] = []
        for result in self._executions(schedule_id, statuses, start):
            if instance_id in (None, result.instance_id):
                found.append(result)
            if len(found) > size:
                last = found[size - 1]
                return Page(items=found[:size], next_token=paging.token((last.invoke_id, last.instance_id)))
        return Page(items=found)

    def _check_repeats(self, schedule_id: str) -> None:
        mode = self._reader.head(schedule_id).snapshot.repeat_mode
        if mode is not RepeatMode.PERIOD:
            raise refusal("InvalidOperation.RepeatModeUnsupported", f"{schedule_id} runs {mode}.")

    def _executions(
        self, schedule_id: str, statuses: Sequence[str] | None, after: tuple[str, str] | None
    ) -> Iterator[InvocationResult]:
        """Yield the results of all runs that are kept, the newest run first, from behind *after* on."""
        run_ids = list(reversed(self._store.runs.run_ids(schedule_id)))
        if after:
            run_ids = [run_id for run_id in run_ids if _age(run_id) >= _age(after[0])]
        for run_id in run_ids:
            if self._store.invocations.head(run_id) is None:
                continue
            results = self._reader.results(run_id, statuses)
            if after and run_id == after[0]:
                results = itertools.dropwhile(lambda result: result.instance_id != after[1], results)
                next(results, None)
            yield from results


def _schedule(facts: _Facts) -> Schedule:
    definition, head = facts.definition, facts.head
    if isinstance(definition, Unreadable):
        return _unreadable(facts)
    policy = definition.policy
    next_due = min((each.next_due for each in facts.entries if each.next_due), default=None)
    return Schedule(
        invoke_id=definition.id,
        command_id=definition.snapshot.command_id,
        command_name=definition.snapshot.command_name,
        command_content=definition.snapshot.command_content,
        frequency=definition.snapshot.frequency,
        time_zone=definition.frequency.zone_name or ("" if definition.is_zoned else "UTC"),
        invocation_status=aggregate(head.counts),
        counts=head.counts,
        instance_count=head.total,
        creation_time=clock.to_datetime(definition.created_at),
        next_time=_time(next_due),
        late_s=max(0, facts.now_ms - next_due - policy.jitter_s * 1000) // 1000 if next_due else 0,
        paused_time=_time(definition.paused_at),
        runs=sum(each.fired for each in facts.entries),
        last_run=facts.last_run,
        tags=definition.aim.tags,
        names=tuple(definition.aim.names),
        all_instances=definition.aim.all_instances,
        overlap=policy.overlap,
        misfire=policy.misfire,
        jitter_s=policy.jitter_s,
        start_time=_time(policy.start_at),
        end_time=_time(policy.end_at),
        max_runs=policy.max_runs,
        blackout=tuple(policy.blackout),
        stop_on_failure=policy.stop_on_failure,
        version=definition.version,
        principal=definition.permit.actor,
    )


def _unreadable(facts: _Facts) -> Schedule:
    """Return what is still known of a schedule whose definition somebody altered; it does not fire."""
    head, snapshot = facts.head, facts.head.snapshot
    return Schedule(
        invoke_id=facts.definition.id,
        command_id=snapshot.command_id,
        command_name=snapshot.command_name,
        command_content=snapshot.command_content,
        frequency=snapshot.frequency,
        time_zone="",
        invocation_status=aggregate(head.counts),
        counts=head.counts,
        instance_count=head.total,
        creation_time=clock.to_datetime(head.created_at),
        next_time=None,
        last_run=facts.last_run,
        authentic=False,
    )


def _age(run_id: str) -> tuple[int, str]:
    """Return where a run stands among all, the newest first; runs that are due at once stand by their ids, reversed."""
    return -int(run_id.split(".")[1]), "".join(chr(0x10FFFF - ord(character)) for character in run_id)


def _time(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else clock.to_datetime(at_ms)


def _run(row: Run, head: Head | None) -> ScheduledRun:
    kept = {InstanceStatus(status): count for status, count in row.counts.items()}
    counts = head.counts if head else kept
    return ScheduledRun(
        run_id=row.id,
        due_time=clock.to_datetime(row.due),
        time_zone=row.zone,
        fired_time=clock.to_datetime(row.at),
        outcome=row.outcome,
        reason=row.reason,
        invocation_status=aggregate(counts) if counts else None,
        instance_count=row.instances,
        skipped_count=row.skipped,
        counts=counts,
    )
