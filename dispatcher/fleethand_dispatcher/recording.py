"""A new invocation on its way into the records: what the scripts that write it are given, sealed and marked."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import ids
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.invocation_seal import InvocationSeal
from fleethand_dispatcher.letter_writer import Written
from fleethand_dispatcher.rows import row_decoder


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Targets of a new invocation that start with the same row."""

    instances: list[str]
    status: InstanceStatus
    row: str
    """JSON of a `Row`."""
    open: bool
    """Whether something will still happen."""
    repeating: bool = False
    """Rows of a schedule: something will happen, but the host gets no message for them."""
    watch_at: int | None
    event: str | None
    """JSON of the event, for rows that are finished from the start."""


class Recording(NamedTuple):
    """A new invocation that is ready to be recorded."""

    snapshot: bytes
    """JSON of a `Snapshot`."""
    order: bytes
    """JSON of the `ExecutionOrder`, kept to run the same once more; empty for a schedule."""
    written: Written | None
    """The order's letter and tokens, kept to send it, first and again; None for a schedule."""
    times: Mapping[str, int | str]
    """`created_at` and `deliver_before`; of a schedule, what else its head begins with."""
    groups: Sequence[Group]


class Arguments(NamedTuple):
    """A recording as `lua/record.lua` reads it."""

    head: bytes
    groups: bytes
    tokens: str
    """A line for each instance of the open groups, in their order; empty without a token."""


def arguments(seal: InvocationSeal, invoke_id: str, recording: Recording) -> Arguments:
    """Return what the scripts are given of a recording."""
    fields = seal.head(invoke_id, recording.snapshot, recording.order, recording.times, _marked(invoke_id, recording))
    if recording.written is not None:
        fields["letter"] = recording.written.letter.decode()
    groups = [_plain(seal, invoke_id, group) for group in recording.groups if group.instances]
    return Arguments(msgspec.json.encode(fields), msgspec.json.encode(groups), _lines_of_tokens(recording))


def _marked(invoke_id: str, recording: Recording) -> Sequence[str]:
    """Return the targets that the head's mark is of.

    Those of a schedule come and go, and stand in its definition. Of those of a run some may be left out when it is
    recorded, which are listed then, so that here their order does not count.
    """
    if any(group.repeating for group in recording.groups):
        return []
    targets = [instance_id for group in recording.groups for instance_id in group.instances]
    return sorted(targets) if ids.schedule_of(invoke_id) else targets


def _plain(seal: InvocationSeal, invoke_id: str, group: Group) -> dict[str, object]:
    return {
        "instances": group.instances,
        "status": group.status,
        "row": group.row,
        "marks": [] if group.open else seal.marks(invoke_id, group.instances, row_decoder.decode(group.row)),
        "open": group.open,
        "repeating": group.repeating,
        "watch_at": group.watch_at or False,
        "event": group.event or False,
    }


def _lines_of_tokens(recording: Recording) -> str:
    if recording.written is None:
        return ""
    tokens = recording.written.tokens
    return "".join(tokens.get(i, "") + "\n" for group in recording.groups if group.open for i in group.instances)
