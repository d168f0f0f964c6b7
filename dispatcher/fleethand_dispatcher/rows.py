"""The stored form of one instance in one invocation, and of an invocation's head, as the Lua scripts write them."""

import msgspec

from fleethand_common.commands import CommandType, Interpolation, RepeatMode, TerminationMode
from fleethand_common.states import InstanceStatus


class Cycle(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where a schedule stands on one instance; beside the row, which shows its last run."""

    active: int = 0
    """Runs that have not finished."""
    run: str = ""
    """The id of the newest run."""
    last: InstanceStatus | None = None
    """How the last run ended."""
    over: bool = False
    """No further run comes; the row ends with the last one."""
    left: bool = False
    """The instance is no target any more; it may come back, with a row that begins anew."""
    queued: list[str] = []
    """Occurrences (JSON of an `Occurrence`) that wait for the end of the active run."""
    unrun: tuple[InstanceStatus, str, str] | None = None
    """Status, error code and text with which it ends if it never ran."""


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One instance in one invocation; `output` is a digest. Each step is [time, what, detail]."""

    status: InstanceStatus
    created_at: int
    updated_at: int
    sent_count: int
    sent_at: int | None = None
    accepted_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    stop_at: int | None = None
    exit_code: int | None = None
    error_code: str = ""
    error_info: str = ""
    output: str = ""
    dropped: int = 0
    presumed: bool = False
    repeats: int = 0
    asked_count: int = 0
    cycle: Cycle | None = None
    """Only in an invocation that repeats."""
    steps: list[tuple[int, str, str]]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What an invocation was asked to do, as it was then; later changes of the command do not touch it."""

    command_id: str
    command_name: str
    command_description: str
    command_type: CommandType
    command_content: str
    enable_parameter: bool
    interpolation: Interpolation
    parameters: dict[str, str]
    secret_names: list[str]
    timeout_s: int
    stop_grace_s: float
    working_dir: str
    username: str
    termination_mode: TerminationMode
    repeat_mode: RepeatMode = RepeatMode.ONCE
    deliver_within_s: int | None = None
    """None: the delivery window; otherwise how long the caller lets it wait."""
    frequency: str = ""
    """When it repeats, as the caller wrote it; empty for a command that runs once."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The head of an invocation, read in one go whatever its size."""

    snapshot: Snapshot
    created_at: int
    deliver_before: int
    total: int
    unfinished: int
    counts: dict[InstanceStatus, int]
    stop_at: int | None = None
    finished_at: int | None = None
    parent: str = ""
    """The schedule that this is a run of."""


row_decoder = msgspec.json.Decoder(Row)
snapshot_decoder = msgspec.json.Decoder(Snapshot)
