"""What crosses the wire: orders down, reports up. Strict to decode and cheap to import, as every host pays for it.

Protocol history:
1: the first.
2: orders come as letters with a token, signed and sealed; reports go up sealed; directives.
"""

from enum import StrEnum
from typing import Literal

import msgspec

from fleethand_common.commands import CommandType, Interpolation, TerminationMode
from fleethand_common.signing import PublicKey
from fleethand_common.states import InstanceStatus

PROTOCOL_VERSION = 2

EXECUTE_TASK = "fleethand.execute"
STOP_TASK = "fleethand.stop"
DIRECTIVE_TASK = "fleethand.directive"
"""The Celery tasks that a host has."""

INSTANCE_HEADER = "fleethand_instance_id"
ATTEMPT_HEADER = "fleethand_attempt"
TOKEN_HEADER = "fleethand_token"  # noqa: S105 - a header's name
"""What differs from instance to instance rides in the headers, so that one body serves a whole invocation."""


class ExecutionOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Run this command once. The same bytes for every instance of an invocation.

    Times are milliseconds since 1970 on the control plane's clock. `parameters` are values for the `{{name}}` in
    `content`; they are used only if `enable_parameter` is true. `built_ins` holds those that are the same everywhere.
    """

    version: int = PROTOCOL_VERSION
    invocation_id: str
    command_id: str
    command_name: str = ""
    command_type: CommandType
    content: str
    enable_parameter: bool = False
    parameters: dict[str, str] = {}
    interpolation: Interpolation = Interpolation.TEXT
    built_ins: dict[str, str] = {}
    timeout_s: int
    stop_grace_s: float
    working_dir: str = ""
    username: str = ""
    termination_mode: TerminationMode = TerminationMode.PROCESS_TREE
    output_limit_bytes: int
    created_at_ms: int
    deliver_before_ms: int


class StopOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop an invocation on this host, or never start it."""

    version: int = PROTOCOL_VERSION
    invocation_id: str
    deliver_before_ms: int
    """Until when the order that it stops could still arrive; the host remembers the stop that long."""


class Directive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for every host until the next one: whom to trust, and whether anything may be started.

    A host takes it only if `sequence` is higher than that of the directive it has.
    """

    version: int = PROTOCOL_VERSION
    sequence: int
    issued_at_ms: int
    keys: list[PublicKey]
    frozen: bool = False
    frozen_reason: str = ""


class _Report(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    version: int = PROTOCOL_VERSION
    instance_id: str


class _ExecutionReport(_Report, frozen=True, kw_only=True, forbid_unknown_fields=True):
    invocation_id: str


class Accepted(_ExecutionReport, frozen=True, kw_only=True, tag="accepted", forbid_unknown_fields=True):
    """The order is in the host's journal and waits for a free place; it needs no redelivery."""

    at_ms: int


class Started(_ExecutionReport, frozen=True, kw_only=True, tag="started", forbid_unknown_fields=True):
    """The command runs."""

    started_at_ms: int


class OutputChunk(_ExecutionReport, frozen=True, kw_only=True, tag="output", forbid_unknown_fields=True):
    """A live piece of output; *offset* is the number of bytes before it. Best effort: `Finished` has the whole."""

    offset: int
    data: str


class Finished(_ExecutionReport, frozen=True, kw_only=True, tag="finished", forbid_unknown_fields=True):
    """How it ended: the host's last word, complete in itself.

    `output` is what was kept, head and tail, and `dropped` the bytes between them. `exit_code` is None if there was no
    process to end; `started_at_ms` likewise.
    """

    status: InstanceStatus
    finished_at_ms: int
    started_at_ms: int | None = None
    exit_code: int | None = None
    error_code: str = ""
    error_info: str = ""
    output: str = ""
    dropped: int = 0


class Refusal(StrEnum):
    """Why a host did not take a message; each is told to the control plane, which writes it into the audit log."""

    UNSIGNED = "Unsigned"
    """It has no token, or one that is none."""
    NOT_SEALED_FOR_ME = "NotSealedForMe"
    """Its token does not open under this host's key."""
    ALTERED = "Altered"
    """The letter is not the one that the token is for, or the signature does not fit."""
    UNTRUSTED_KEY = "UntrustedKey"
    """Signed with a key that is unknown, revoked or outside of its dates."""
    OTHER_INSTANCE = "OtherInstance"
    """Signed for other instances."""
    EXPIRED = "Expired"
    """Its time to be started is over."""
    SEEN_BEFORE = "SeenBefore"
    """A directive that is not newer than the one in force."""
    UNREADABLE = "Unreadable"
    """Well signed, but nothing that this worker can read."""


class Refused(_Report, frozen=True, kw_only=True, tag="refused", forbid_unknown_fields=True):
    """A message that this host did not trust; `invocation_id` is what the message claims, empty if nothing.

    It is about a message, not about an invocation: a forged copy must not end what a genuine order will start.
    """

    at_ms: int
    reason: Refusal
    detail: str = ""
    invocation_id: str = ""


class Heartbeat(_Report, frozen=True, kw_only=True, tag="heartbeat", forbid_unknown_fields=True):
    """The host lives. `hello` marks the first one after a start or a reconnect: what was sent before may be lost."""

    hello: bool = False
    at_ms: int
    interval_s: float
    name: str
    tags: dict[str, str] = {}
    os_type: Literal["Linux", "Windows", "FreeBSD", "Darwin"]
    os_version: str
    worker_version: str
    time_zone: str
    boot_id: str
    running: list[str] = []
    queued: int = 0
    executions: int = 0
    """Executions since the state directory was made."""
    directive_sequence: int = 0
    """Of the directive that this host follows."""
    frozen: bool = False
    session: str = ""
    """Made at each start of the worker: two of them in turn mean two hosts with one identity."""
    fingerprint: str = ""
    """Of the machine, as `register` took it."""


ExecutionReport = Accepted | Started | OutputChunk | Finished
Report = Accepted | Started | OutputChunk | Finished | Heartbeat | Refused

encode = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(ExecutionOrder).decode
decode_stop = msgspec.json.Decoder(StopOrder).decode
decode_directive = msgspec.json.Decoder(Directive).decode
decode_report = msgspec.json.Decoder(Report).decode
"""Each raises `msgspec.DecodeError` (a ValueError) for anything else than what it is for."""
