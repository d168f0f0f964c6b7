"""The stored form of one instance in one invocation, and of an invocation's head, as the Lua scripts write them."""

from typing import Literal

import msgspec

from fleethand_common.commands import CommandType, Interpolation, RepeatMode, TerminationMode
from fleethand_common.states import InstanceStatus


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
