"""The stored form of one instance in one invocation, and of an invocation's head, as the Lua scripts write them."""

from typing import Literal

import msgspec

from fleethand_common.commands import CommandType, Interpolation, RepeatMode, TerminationMode
from fleethand_common.states import InstanceStatus


class Cycle(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where a schedule stands on one instance; beside the row, which shows its last run."""

    active: int = 0
    """Runs that have not finished."""
    run: str = ""
    """The id of the newest run."""
    ran: str = ""
    """The id of the last run that ended: its ending, and the mark of that, is what the row shows."""
    last: InstanceStatus | None = None
    """How that run ended."""
    over: bool = False
    """No further run comes; the row ends with the last one."""
    left: bool = False
    """The instance is no target any more; it may come back, with a row that begins anew."""
    queued: list[str] = []
    """Occurrences (JSON of an `Occurrence`) that wait for the end of the active run."""
    unrun: list[str | int | None] | None = None
    """Status, error code, text, time and mark with which it ends if it never ran."""


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
    mark: str = ""
    """Of what it says once it has ended; see `invocation_seal`."""
    cycle: Cycle | None = None
    """Only in a schedule; there `finished_at` and what else tells of an ending is the last run's, even during a run."""
    steps: list[tuple[int, str, str]]


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One entry of the stream of events; `output` is the digest of what was kept."""

    kind: Literal["status", "output"]
    at: int
    status: InstanceStatus
    finished_at: int | None = None
    exit_code: int | None = None
    error_code: str = ""
    error_info: str = ""
    output: str = ""
    dropped: int = 0
    presumed: bool = False
    mark: str = ""
    run: str = ""
    """In a schedule, the run that this is about."""
    last: InstanceStatus | None = None
    """In a schedule, how that run ended; *status* is then the schedule's own."""


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


event_decoder = msgspec.json.Decoder(Event)
row_decoder = msgspec.json.Decoder(Row)
snapshot_decoder = msgspec.json.Decoder(Snapshot)
