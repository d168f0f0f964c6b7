"""Whether the records of an invocation are those that the control plane wrote: all of them, and nothing else."""

from collections import Counter
from collections.abc import Iterator, Sequence

from fleethand_common.commands import RepeatMode
from fleethand_common.states import LIVE, TERMINAL, InstanceStatus
from fleethand_dispatcher.models import Finding, Verification
from fleethand_dispatcher.rows import Head, Row
from fleethand_dispatcher.scheduling.definitions import Unreadable
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.vault import VaultError

_CHUNK = 500


class Verifier:
    """Reads an invocation as nobody else does: whole."""

    def __init__(self, store: Store) -> None:
        self._records = store.invocations
        self._schedules = store.schedules
        self._runs = store.runs

    def verify(self, invoke_id: str, head: Head) -> Verification:
        """Recount rows against the head's counters, check every mark, and open every order and output.

        Of a schedule, the definition too, and each run that is kept.
        """
        statuses: Counter[InstanceStatus] = Counter()
        findings = [*self._of_the_head(invoke_id)]
        targets = self._records.targets(invoke_id)
        for start in range(0, len(targets), _CHUNK):
            chunk = targets[start : start + _CHUNK]
            rows = dict(zip(chunk, self._records.rows(invoke_id, chunk), strict=True))
            statuses.update(row.status for row in rows.values() if row is not None)
            findings += self._of_rows(invoke_id, rows)
        findings += _of_counters(head, statuses, len(targets), self._records.row_count(invoke_id))
        if head.snapshot.repeat_mode is RepeatMode.PERIOD:
            findings += self._of_the_schedule(invoke_id, targets)
        return Verification(invoke_id=invoke_id, instance_count=len(targets), findings=tuple(findings))

    def _of_the_schedule(self, schedule_id: str, targets: Sequence[str]) -> Iterator[Finding]:
        definition = self._schedules.definition(schedule_id)
        if isinstance(definition, Unreadable):
            yield Finding(what=f"the schedule does not fire: {definition.reason}")
        elif definition and definition.aim.is_fixed and sorted(definition.aim.instance_ids) != sorted(targets):
            yield Finding(what="the targets are not those of the schedule")
        run_ids = self._runs.run_ids(schedule_id)
        for run_id, head in zip(run_ids, self._records.heads(run_ids), strict=True):
            if head is not None:
                found = self.verify(run_id, head).findings
                yield from (finding.model_copy(update={"what": f"run {run_id}: {finding.what}"}) for finding in found)
            elif self._records.exists(run_id):
                yield Finding(what=f"run {run_id}: what it was to do is not what was recorded")

    def _of_the_head(self, invoke_id: str) -> Iterator[Finding]:
        if not self._records.is_as_created(invoke_id):
            yield Finding(what="the targets or the times are not those that the invocation was created with")
        try:
            if self._records.orders([invoke_id])[0] is None:
                yield Finding(what="the order is gone")
        except VaultError:
            yield Finding(what="the order is not the one that was recorded")

    def _of_rows(self, invoke_id: str, rows: dict[str, Row | None]) -> Iterator[Finding]:
        kept = self._records.outputs_of(invoke_id, [row for row in rows.values() if row])
        for instance_id, row in rows.items():
            if row is None:
                yield Finding(instance_id=instance_id, what="there is no row")
            elif not self._records.seal.is_authentic(invoke_id, instance_id, row):
                yield Finding(instance_id=instance_id, what=f"nobody recorded that it ended as {row.status}")
            elif row.output and kept.get(row.output) is None:
                yield Finding(instance_id=instance_id, what="the output is gone, or not the one that was recorded")


def _of_counters(head: Head, statuses: Counter[InstanceStatus], targets: int, rows: int) -> Iterator[Finding]:
    for status in InstanceStatus:
        counted, found = head.counts.get(status, 0), statuses[status]
        if counted != found:
            yield Finding(what=f"the counters say {counted} {status}, the rows {found}")
    unfinished = sum(statuses[status] for status in LIVE)
    if head.unfinished != unfinished:
        yield Finding(what=f"the counters say {head.unfinished} unfinished, the rows {unfinished}")
    if not head.total == targets == rows:
        yield Finding(what=f"the head says {head.total} instances, there are {targets} targets and {rows} rows")
    ended = sum(statuses[status] for status in TERMINAL)
    if (head.finished_at is None) == (ended == targets):
        yield Finding(what="the head does not say truly whether all have ended")
