"""Invocations written straight into the records, in any state, and everything that hangs on one."""

from collections.abc import Mapping
from typing import Any

import msgspec

from fleethand_common import ids
from fleethand_common.commands import CommandType, Interpolation, TerminationMode
from fleethand_common.states import LIVE, InstanceStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.letter_writer import Written
from fleethand_dispatcher.recording import Group, Recording
from fleethand_dispatcher.rows import Row, Snapshot
from fleethand_dispatcher.store import Store

SNAPSHOT = Snapshot(
    command_id="c-1",
    command_name="name",
    command_description="",
    command_type=CommandType.SHELL,
    command_content="x",
    enable_parameter=False,
    interpolation=Interpolation.TEXT,
    parameters={},
    secret_names=[],
    timeout_s=60,
    stop_grace_s=1.0,
    working_dir="",
    username="",
    termination_mode=TerminationMode.PROCESS_TREE,
)


def record(store: Store, statuses: Mapping[str, InstanceStatus], *, at_ms: int = 1000, **values: Any) -> str:
    """Record an invocation whose instances are in the given statuses; *values* go into every row."""
    invoke_id = ids.new_id(ids.INVOCATION_PREFIX)
    groups = [
        Group(
            instances=[instance_id],
            status=status,
            row=msgspec.json.encode(
                Row(
                    **{
                        "status": status,
                        "created_at": at_ms,
                        "updated_at": at_ms,
                        "sent_count": 1,
                        "steps": [(at_ms, "created", "")],
                        **values,
                    }
                )
            ).decode(),
            open=status in LIVE,
            watch_at=at_ms if status in LIVE else None,
            event=None,
        )
        for instance_id, status in statuses.items()
    ]
    times = {"created_at": at_ms, "deliver_before": at_ms + 60_000}
    written = Written(b"{}", dict.fromkeys((i for i, status in statuses.items() if status in LIVE), "token"))
    recording = Recording(msgspec.json.encode(SNAPSHOT), b"{}", written, times, groups)
    store.invocations.create(invoke_id, recording)
    return invoke_id


def everything(store: Store, invoke_id: str) -> dict[str, Any]:
    """Return all that is stored of an invocation, to compare before with after."""
    client = store.client
    k = keys.invocation(invoke_id)
    watched = [(member, at) for member, at in client.zrange(keys.WATCH, 0, -1, withscores=True)]
    targets = store.invocations.targets(invoke_id)
    return {
        "head": client.hgetall(k.head),
        "rows": client.hgetall(k.rows),
        "outputs": client.hgetall(k.outputs),
        "live": client.hgetall(k.live),
        "events": client.xrange(k.events),
        "done": client.xrange(k.done),
        "tokens": client.hgetall(k.tokens),
        "watch": [pair for pair in watched if pair[0].startswith(invoke_id.encode() + b"|")],
        "unfinished": client.zscore(keys.UNFINISHED, invoke_id),
        "open": {i: client.zscore(keys.instance_open(i), invoke_id) for i in targets},
    }
