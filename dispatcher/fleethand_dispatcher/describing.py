"""From stored rows and heads to the records that the API answers with."""

from collections.abc import Mapping
from datetime import datetime

from fleethand_common import clock, ids
from fleethand_common.states import InstanceStatus, aggregate
from fleethand_dispatcher.instance_records import InstanceRecord
from fleethand_dispatcher.models import (
    CloudAssistantStatus,
    Instance,
    InvocationRecord,
    InvocationResult,
    Step,
)
from fleethand_dispatcher.rows import Head, Row


def _time(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else clock.to_datetime(at_ms)


def invocation(invoke_id: str, head: Head) -> InvocationRecord:
    """Return the record of an invocation; its status is derived here and nowhere else."""
    snapshot = head.snapshot
    return InvocationRecord(
        invoke_id=invoke_id,
        command_id=snapshot.command_id,
        command_name=snapshot.command_name,
        command_description=snapshot.command_description,
        command_type=snapshot.command_type,
        command_content=snapshot.command_content,
        enable_parameter=snapshot.enable_parameter,
        interpolation=snapshot.interpolation,
        parameters=snapshot.parameters,
        repeat_mode=snapshot.repeat_mode,
        frequency=snapshot.frequency,
        schedule_id=ids.schedule_of(invoke_id),
        timeout_s=snapshot.timeout_s,
        working_dir=snapshot.working_dir,
        username=snapshot.username,
        termination_mode=snapshot.termination_mode,
        creation_time=clock.to_datetime(head.created_at),
        deliver_before=clock.to_datetime(head.deliver_before),
        stop_time=_time(head.stop_at),
        finished_time=_time(head.finished_at),
        invocation_status=aggregate(head.counts),
        counts=head.counts,
        instance_count=head.total,
    )


def result(
    invoke_id: str,
    instance_id: str,
    row: Row,
    head: Head,
    *,
    output: str,
    authentic: bool,
    name: str = "",
    seen_ms: int | None = None,
) -> InvocationResult:
    """Return the record of one instance; *seen_ms* is when it was last heard of, for one that waits."""
    return InvocationResult(
        invoke_id=invoke_id,
        command_id=head.snapshot.command_id,
        instance_id=instance_id,
        instance_name=name,
        invocation_status=row.status,
        exit_code=row.exit_code,
        error_code=row.error_code,
        error_info=row.error_info,
        output=output,
        dropped=row.dropped,
        repeats=row.repeats,
        creation_time=clock.to_datetime(row.created_at),
        start_time=_time(row.started_at),
        # of a schedule, that of the run before; here it would be earlier than the start
        finished_time=None if row.status is InstanceStatus.RUNNING else _time(row.finished_at),
        stop_time=_time(row.stop_at),
        update_time=clock.to_datetime(row.updated_at),
        presumed=row.presumed,
        authentic=authentic,
        waiting=_waiting(row, seen_ms),
        username=head.snapshot.username,
        termination_mode=head.snapshot.termination_mode,
    )


def _waiting(row: Row, seen_ms: int | None) -> str:
    if row.status is not InstanceStatus.PENDING:
        return ""
    if row.accepted_at is not None:
        return "taken by the host, waiting for a free place"
    if row.sent_count:
        return "sent, waiting for the host to take it"
    return f"waiting, last seen {clock.to_text(seen_ms)}" if seen_ms else "waiting, never seen"


def steps(row: Row) -> tuple[Step, ...]:
    """Return the story of a row, oldest first."""
    ordered = sorted(enumerate(row.steps), key=lambda pair: (pair[1][0], pair[0]))
    return tuple(Step(at=clock.to_datetime(at), what=what, detail=detail) for _, (at, what, detail) in ordered)


def instance(record: InstanceRecord, *, now_ms: int, online_within_s: int, waiting: int) -> Instance:
    """Return the record of a host."""
    facts = record.facts
    return Instance(
        instance_id=facts.instance_id,
        instance_name=facts.name,
        online=now_ms - record.last_seen_at <= online_within_s * 1000,
        tags=facts.tags,
        last_seen_at=clock.to_datetime(record.last_seen_at),
        first_seen_at=clock.to_datetime(record.first_seen_at),
        os_type=facts.os_type,
        os_version=facts.os_version,
        worker_version=facts.worker_version,
        time_zone=facts.time_zone,
        boot_id=facts.boot_id,
        running=tuple(facts.running),
        queued=facts.queued,
        waiting=waiting,
        invocation_count=facts.executions,
        last_invoked_time=_time(record.last_invoked_at),
        directive_sequence=facts.directive_sequence,
        frozen=facts.frozen,
        cloned_at=_time(record.cloned_at),
    )


def assistant_status(instance_id: str, known: Instance | None) -> CloudAssistantStatus:
    """Return whether an instance can take commands; an unknown one has no worker."""
    if known is None:
        return CloudAssistantStatus(
            instance_id=instance_id,
            cloud_assistant_status=False,
            cloud_assistant_version="",
            os_type="",
            last_heartbeat_time=None,
            last_invoked_time=None,
            invocation_count=0,
            active_task_count=0,
        )
    return CloudAssistantStatus(
        instance_id=instance_id,
        cloud_assistant_status=known.online,
        cloud_assistant_version=known.worker_version,
        os_type=known.os_type,
        last_heartbeat_time=known.last_seen_at,
        last_invoked_time=known.last_invoked_time,
        invocation_count=known.invocation_count,
        active_task_count=len(known.running),
    )


def fresh_output(instance_id: str, row: Row, kept: Mapping[str, str | None], live: Mapping[str, str]) -> str | None:
    """Return what was kept of an ended execution, else what has come so far; None if somebody altered it."""
    return kept.get(row.output) if row.output else live.get(instance_id, "")
