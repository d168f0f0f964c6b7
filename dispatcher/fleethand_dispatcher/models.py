"""What the dispatcher answers with: frozen records whose fields are the API's, in snake_case.

Times are aware UTC datetimes, None for what has not happened; sizes and durations carry their unit in the name.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from fleethand_common.commands import CommandType, Interpolation, RepeatMode, TerminationMode
from fleethand_common.states import InstanceStatus, InvocationStatus

T = TypeVar("T")


class Record(BaseModel):
    """The base of all answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ParameterDefinition(Record):
    """What a value of one parameter must look like (spec 7.6). A secret value is masked wherever it is shown."""

    parameter_name: str
    description: str = ""
    default_value: str | None = None
    required: bool = False
    possible_values: tuple[str, ...] = ()
    pattern_regex: str = ""
    secret: bool = False


class Command(Record):
    """A stored command (spec 2.4)."""

    command_id: str
    name: str
    description: str = ""
    type: CommandType
    command_content: str
    working_dir: str = ""
    timeout_s: int
    enable_parameter: bool = False
    interpolation: Interpolation = Interpolation.TEXT
    parameter_names: tuple[str, ...] = ()
    parameter_definitions: tuple[ParameterDefinition, ...] = ()
    creation_time: datetime
    invoke_times: int = 0


class InvocationRecord(Record):
    """One request to run a command on targets (spec 2.9). `parameters` shows secrets as `******`."""

    invoke_id: str
    command_id: str
    command_name: str
    command_description: str
    command_type: CommandType
    command_content: str
    enable_parameter: bool
    interpolation: Interpolation
    parameters: Mapping[str, str]
    repeat_mode: RepeatMode
    frequency: str = ""
    """When it repeats; empty for one that runs once."""
    schedule_id: str = ""
    """The schedule that it is a run of; empty otherwise."""
    timeout_s: int
    working_dir: str
    username: str
    termination_mode: TerminationMode
    creation_time: datetime
    deliver_before: datetime
    stop_time: datetime | None
    finished_time: datetime | None
    invocation_status: InvocationStatus
    counts: Mapping[InstanceStatus, int]
    """Instances per status; statuses that none is in are left out."""
    instance_count: int


class InvocationResult(Record):
    """What one instance did in one invocation (spec 2.10)."""

    invoke_id: str
    command_id: str
    instance_id: str
    instance_name: str = ""
    invocation_status: InstanceStatus
    exit_code: int | None = None
    error_code: str = ""
    error_info: str = ""
    output: str = ""
    dropped: int = 0
    repeats: int = 0
    creation_time: datetime
    start_time: datetime | None = None
    finished_time: datetime | None = None
    stop_time: datetime | None = None
    update_time: datetime
    presumed: bool = False
    """True while the status is the control plane's guess about a silent host."""
    authentic: bool = True
    """False if what is recorded of its ending or its output is not what the control plane recorded; do not trust it."""
    waiting: str = ""
    """Why it is still Pending, e.g. `waiting, last seen 2026-01-31T23:59:59Z`; empty otherwise."""
    username: str = ""
    termination_mode: TerminationMode = TerminationMode.PROCESS_TREE


class Step(Record):
    """One step of one instance's way through an invocation, for `explain`."""

    at: datetime
    what: str
    """A status, or what else happened: `created`, `sent`, `accepted` …"""
    detail: str = ""


class Explanation(Record):
    """The whole story of one instance in one invocation."""

    result: InvocationResult
    steps: tuple[Step, ...]


class InvocationEvent(Record):
    """Something that happened in an invocation, as `Invocation.follow` yields it."""

    kind: Literal["status", "output"]
    invoke_id: str
    instance_id: str
    at: datetime
    status: InstanceStatus
    data: str = ""
    """The new piece of output of an `output` event."""
    skipped_bytes: int = 0
    """Bytes of output between the piece before and this one that were not kept."""
    again: bool = False
    """True if live pieces got lost: this one is the whole output, from its beginning."""
    run_id: str = ""
    """In a schedule, the run that it belongs to."""
    error_code: str = ""
    error_info: str = ""
    presumed: bool = False
    authentic: bool = True
    """False for an ending that the control plane did not record; do not trust it."""


class ScheduledRun(Record):
    """One time at which a schedule was due, and what became of it: never a silence."""

    run_id: str
    """The id of the run, which is an invocation as long as its records are kept."""
    due_time: datetime
    time_zone: str
    """Of the hosts that it was for, where the schedule has no zone of its own."""
    fired_time: datetime
    """When it was decided."""
    outcome: str
    """`fired`, `queued`, `skipped`, `missed`, `held back`, `paused` or `denied`."""
    reason: str
    invocation_status: InvocationStatus | None
    """The run's; None where there was none."""
    instance_count: int
    skipped_count: int
    """Hosts that did not take part, as the run before was still active there."""
    counts: Mapping[InstanceStatus, int]


class Schedule(Record):
    """A command that runs again and again, as long as it lives."""

    invoke_id: str
    command_id: str
    command_name: str
    command_content: str
    frequency: str
    time_zone: str
    """Empty: each host's own."""
    invocation_status: InvocationStatus
    counts: Mapping[InstanceStatus, int]
    instance_count: int
    creation_time: datetime
    next_time: datetime | None
    """When the next run is due; None if there is none any more."""
    late_s: int = 0
    """Seconds since the next run should have been made: no beat works, or the fleet is frozen."""
    paused_time: datetime | None = None
    """Since when it is paused."""
    runs: int = 0
    """How often it has fired."""
    last_run: ScheduledRun | None
    tags: Mapping[str, str] = {}
    names: tuple[str, ...] = ()
    all_instances: bool = False
    overlap: str = ""
    misfire: str = ""
    jitter_s: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    max_runs: int | None = None
    blackout: tuple[str, ...] = ()
    stop_on_failure: bool = False
    version: int = 0
    """How often it was changed, plus one."""
    principal: str = ""
    """Whose policies must allow each run: who made it, or changed it last."""
    authentic: bool = True
    """False if its definition is not the one that was recorded: it does not fire, and its policies are not known."""


class UpcomingRun(Record):
    """One run to come."""

    due_time: datetime
    schedule_zone: str
    """The schedule's own zone; empty if each host reads it in its own."""
    time_zones: tuple[str, ...]
    """The hosts' zones; where each host reads the schedule in its own, those in which it is due then."""
    held_by: str
    """The blackout window that holds it back; empty if it fires."""


class StopDisposition(StrEnum):
    """What became of a request to stop; never a status."""

    STOPPING = "stopping"
    """The host was asked; it will confirm."""
    CANCELLED = "cancelled"
    """It had not been sent to the host and is withdrawn."""
    STOPPED = "stopped"
    """A schedule between two runs: it fires no more there."""
    ALREADY_FINISHED = "already finished"
    NOT_FOUND = "not found"
    """The instance is no target of this invocation."""


class Instance(Record):
    """A host, as its last heartbeat told it."""

    instance_id: str
    instance_name: str
    online: bool
    tags: Mapping[str, str]
    last_seen_at: datetime
    first_seen_at: datetime
    os_type: str
    os_version: str
    worker_version: str
    time_zone: str
    boot_id: str
    running: tuple[str, ...]
    """Invocations that execute now."""
    queued: int
    waiting: int
    """Orders that were not accepted yet."""
    invocation_count: int
    last_invoked_time: datetime | None
    directive_sequence: int = 0
    """Of the directive that the host follows."""
    frozen: bool = False
    """True while the host starts nothing, as a directive told it."""
    cloned_at: datetime | None = None
    """When two machines last spoke with this identity; None if never."""


class CloudAssistantStatus(Record):
    """Whether an instance can take commands (spec 3.5)."""

    instance_id: str
    cloud_assistant_status: bool
    cloud_assistant_version: str
    os_type: str
    last_heartbeat_time: datetime | None
    last_invoked_time: datetime | None
    invocation_count: int
    active_task_count: int
    support_session_manager: bool = False


class TargetPreview(Record):
    """Which instances a call would reach."""

    instance_ids: tuple[str, ...]
    online: int
    offline: int
    unknown: tuple[str, ...]


class Rendering(Record):
    """What a host would run."""

    content: str
    environment: Mapping[str, str]


class DeadReport(Record):
    """A report that could not be used, and why."""

    at: datetime
    reason: str
    body: str


class SecurityCount(Record):
    """How often something did not look right, e.g. `report.forged:DoesNotOpen`."""

    kind: str
    times: int
    last_at: datetime


class Finding(Record):
    """Something in the records of an invocation that the control plane did not write."""

    what: str
    instance_id: str = ""
    """Empty for what concerns the whole invocation."""


class Verification(Record):
    """What came of checking the records of an invocation."""

    invoke_id: str
    instance_count: int
    findings: tuple[Finding, ...]

    @property
    def authentic(self) -> bool:
        """True if everything is as it was recorded."""
        return not self.findings


class Page(Record, Generic[T]):
    """Some of the answers; `next_token` is empty on the last page."""

    items: Sequence[T]
    next_token: str = ""


class Activation(Record):
    """An id and a code that enrol hosts (spec 12.2); the code is known to nobody after `create_activation`."""

    activation_id: str
    instance_name: str = ""
    """What the names of its instances begin with."""
    description: str = ""
    instance_count: int
    registered_count: int = 0
    deregistered_count: int = 0
    time_to_live_in_hours: int
    creation_time: datetime
    expiration_time: datetime
    disabled: bool = False
    usable: bool
    """Not disabled, not expired, and not used up."""
    ip_address_range: str = ""
    tags: Mapping[str, str] = {}


class NewActivation(Record):
    """What `create_activation` answers with: the only time that the code is shown."""

    activation_id: str
    activation_code: str
    expiration_time: datetime
    registration_url: str = ""
    """Of the registration service; empty if none was ever started."""
    registration_pin: str = ""
    """By which a host recognises it."""


class ManagedInstance(Record):
    """A host that is enrolled (spec 12.3): what was agreed then, and what its heartbeats say since."""

    instance_id: str
    instance_name: str
    activation_id: str = ""
    """Empty if an operator provisioned it."""
    connected: bool
    registration_time: datetime
    machine_id: str = ""
    hostname: str = ""
    intranet_ip: str = ""
    internet_ip: str = ""
    """The address that its registration came from."""
    os_type: str = ""
    """In lower case, but for FreeBSD."""
    os_version: str = ""
    agent_version: str = ""
    invocation_count: int = 0
    last_invoked_time: datetime | None = None
    tags: Mapping[str, str] = {}
