"""The records of the runs of schedules: each is an invocation of its own, and a row in its schedule's list."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from fleethand_dispatcher import keys, scripts
from fleethand_dispatcher.invocation_seal import Ending, InvocationSeal
from fleethand_dispatcher.recording import Arguments, Recording, arguments
from fleethand_dispatcher.scheduling import occurrences
from fleethand_dispatcher.scheduling.occurrences import Occurrence, Run
from fleethand_dispatcher.vault import Vault

if TYPE_CHECKING:
    import redis


class Making(NamedTuple):
    """One occurrence as run.lua records it; *recording* is None where there is no run to make."""

    run_id: str
    occurrence: Occurrence
    recording: Recording | None
    row: Run
    joining: str
    """JSON of the row of an instance that joins; empty if none may."""
    over: bool | Sequence[str]
    """Whether it was the last one, for all instances or for some."""
    unrun: Ending
    """How an instance ends on which a schedule that is over never ran."""
    members: Sequence[str]
    """The instances to which that may happen."""
    left: Sequence[str]
    """Instances that are no targets any more."""
    left_unrun: Ending
    """How these end if the schedule never ran there."""
    may_wait: Sequence[str]
    """Instances on which it waits if the run before is active."""
    keep: int
    """How many times the list of runs may tell of."""


class Made(NamedTuple):
    """What recording an occurrence came to."""

    is_new: bool
    instances: list[str]
    dropped: list[str]
    """Runs that fell off the end of the list: their records can go."""


_NOTHING = Arguments(b"{}", b"[]", "")


class RunRecords:
    """Makes runs, each at most once, and lists them."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._vault = vault
        self._seal = InvocationSeal(vault)
        self._run = scripts.load(client, "run")

    def make(self, makings: Sequence[Making]) -> list[Made]:
        """Record occurrences, each at most once, in one round trip."""
        if not makings:
            return []
        pipe = self._client.pipeline(transaction=False)
        for making in makings:
            self._make(making, pipe)
        return [
            Made(bool(is_new), [raw.decode() for raw in instances], [raw.decode() for raw in dropped])
            for is_new, instances, dropped in pipe.execute()
        ]

    def _make(self, making: Making, client: Any) -> None:
        run, schedule = keys.invocation(making.run_id), keys.invocation(making.occurrence.id)
        recording = making.recording
        told = arguments(self._seal, making.run_id, recording) if recording else _NOTHING
        self._run(
            keys=[
                *(run.head, run.rows, run.targets, run.events, run.done, run.tokens),
                *(schedule.runs, schedule.dues, schedule.active),
                *(keys.WATCH, keys.RESULTS, keys.UNFINISHED, keys.RUNS),
            ],
            args=[
                making.run_id,
                making.occurrence.id,
                told.head,
                told.groups,
                keys.INSTANCE_PREFIX,
                occurrences.encode(making.occurrence),
                msgspec.json.encode(self._how(making)),
                told.tokens,
            ],
            client=client,
        )

    def _how(self, making: Making) -> dict[str, object]:
        occurrence = making.occurrence
        return {
            "run": making.row,
            "joining": making.joining or False,
            "over": making.over,
            "unrun": self._unrun(occurrence.id, making.unrun, making.members),
            "left": self._unrun(occurrence.id, making.left_unrun, making.left),
            "queued": occurrences.waiting(self._vault, occurrence, making.may_wait),
            "keep": making.keep,
        }

    def _unrun(self, schedule_id: str, ending: Ending, instance_ids: Sequence[str]) -> dict[str, object]:
        told = (ending.status, ending.error_code, ending.error_info, ending.finished_at)
        marks = {i: self._seal.mark_ending(schedule_id, i, ending) for i in instance_ids}
        return {"ending": told, "marks": marks}

    def active(self, schedule_id: str) -> list[str]:
        """Return the runs that have not finished."""
        found = cast("set[bytes]", self._client.smembers(keys.invocation(schedule_id).active))
        return sorted(raw.decode() for raw in found)

    def runs(self, schedule_id: str, *, newest: int) -> list[Run]:
        """Return rows of the list of runs, the newest first."""
        k = keys.invocation(schedule_id)
        run_ids = cast("list[bytes]", self._client.zrevrange(k.dues, 0, newest - 1))
        raw = cast("list[bytes | None]", self._client.hmget(k.runs, run_ids)) if run_ids else []
        return [occurrences.decode_run(value) for value in raw if value]

    def newest(self, schedule_ids: Sequence[str]) -> list[Run | None]:
        """Return the newest row of several schedules' lists, in two round trips; None for an empty list."""
        pipe = self._client.pipeline(transaction=False)
        for schedule_id in schedule_ids:
            pipe.zrevrange(keys.invocation(schedule_id).dues, 0, 0)
        for schedule_id, run_ids in zip(schedule_ids, pipe.execute(), strict=True):
            pipe.hmget(keys.invocation(schedule_id).runs, run_ids or [""])
        return [occurrences.decode_run(raw) if raw else None for (raw,) in pipe.execute()]

    def keep_counts(self, schedule_id: str, run_id: str, counts: Mapping[str, int]) -> None:
        """Write into the list of runs what became of a run whose records go."""
        k = keys.invocation(schedule_id)
        raw = cast("bytes | None", self._client.hget(k.runs, run_id))
        if raw:
            row = msgspec.structs.replace(occurrences.decode_run(raw), counts=dict(counts))
            self._client.hset(k.runs, run_id, occurrences.encode(row))

    def run_ids(self, schedule_id: str) -> list[str]:
        """Return the ids of all runs in the list."""
        found = cast("list[bytes]", self._client.zrange(keys.invocation(schedule_id).dues, 0, -1))
        return [raw.decode() for raw in found]
