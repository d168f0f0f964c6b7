"""The records of schedules: definitions, what is due when, and the outbox; their runs are in `run_records`."""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from fleethand_dispatcher import keys, scripts
from fleethand_dispatcher.invocation_seal import InvocationSeal
from fleethand_dispatcher.scheduling import definitions, occurrences
from fleethand_dispatcher.scheduling.definitions import Definition, Unreadable
from fleethand_dispatcher.scheduling.occurrences import Occurrence
from fleethand_dispatcher.vault import Vault

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_ENTRIES_PER_CALL = 200


class Due(NamedTuple):
    """An entry of the index: a schedule, or the part of it that the hosts of one time zone run."""

    entry: str
    act_ms: int

    @property
    def schedule_id(self) -> str:
        """The schedule's id."""
        return self.entry.partition("|")[0]

    @property
    def zone(self) -> str:
        """The time zone, empty for all hosts."""
        return self.entry.partition("|")[2]


class EntryFacts(NamedTuple):
    """What the head of a schedule says of one of its entries."""

    next_due: int | None
    fired: int
    unfinished: int


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """An entry moves on to its next time; what it fires goes into the outbox. Fields are those of fire.lua."""

    entry: str
    id: str
    zone: str
    old: int
    next: int | bool
    act: int
    fired: int
    held: bool = False
    """Whether a freeze holds it back: it is looked at again when that ends."""
    occurrences: list[str]


class Entries(NamedTuple):
    """When a schedule is due: time zone, or an empty text, to the time it is due and the time to act."""

    times: Mapping[str, tuple[int, int]]
    replace: bool
    """Whether they replace those that there are; else those that are not there yet are added."""


class Joining(NamedTuple):
    """Instances that are added to a schedule."""

    row: str
    """JSON of the row that each of them gets."""
    instance_ids: Sequence[str]


class Changed(IntEnum):
    """What changing a schedule came to, as change.lua says it."""

    DONE = 1
    STALE = 0
    """Somebody else changed it meanwhile, or paused it."""
    OVER = -1


class ScheduleRecords:
    """Reads and writes what is kept of schedules beside their invocations; definitions are sealed on the way."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._vault = vault
        self._seal = InvocationSeal(vault)
        self._replace = scripts.load(client, "replace")
        self._fire = scripts.load(client, "fire")
        self._change = scripts.load(client, "change")

    def add(self, definition: Definition, entries: Mapping[str, tuple[int, int]]) -> None:
        """Write a schedule and when each of its entries must act, before its invocation: see `head_of`.

        Args:
            entries: time zone, or an empty text, to the time it is due and the time to act.
        """
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(keys.SCHEDULES, definition.id, cast("Any", definitions.encode(self._vault, definition)))
        pipe.zadd(keys.DUE, {entry_of(definition.id, zone): act for zone, (_, act) in entries.items()})
        pipe.execute()

    def change(self, old: Definition, new: Definition, entries: Entries, joining: Joining) -> Changed:
        """Replace a schedule's definition, also in its invocation, in one step; what is under way goes on.

        Args:
            old: what the change is about; if the schedule is another one by now, nothing is changed.
        """
        sealed = cast("bytes | None", self._client.hget(keys.SCHEDULES, old.id))
        if sealed is None:
            return Changed.OVER
        if definitions.decode(self._vault, old.id, sealed) != old:
            return Changed.STALE
        done = self._change(
            keys=[keys.SCHEDULES, keys.DUE, keys.UNFINISHED, keys.HELD],
            args=[
                new.id,
                sealed,
                definitions.encode(self._vault, new),
                self._seal.snapshot(new.id, msgspec.json.encode(new.snapshot)),
                msgspec.json.encode(entries.times),
                int(entries.replace),
                joining.row,
                *joining.instance_ids,
            ],
        )
        if done == 1:
            self.wake()
        return Changed(done)

    def add_entry(self, schedule_id: str, zone: str, due: int, act: int) -> None:
        """Let the hosts of one more time zone take part."""
        head = keys.invocation(schedule_id).head
        pipe = self._client.pipeline(transaction=True)
        pipe.zadd(keys.DUE, {entry_of(schedule_id, zone): act})
        pipe.hset(head, f"next:{zone}", str(due))
        pipe.hincrby(head, "entries", 1)
        pipe.execute()

    def end(self, schedule_id: str) -> None:
        """Let a schedule fire no more; its definition goes when nothing of it is under way."""
        pipe = self._client.pipeline(transaction=True)
        for due in self.entries_of(schedule_id):
            pipe.zrem(keys.DUE, due.entry)
            pipe.hdel(keys.invocation(schedule_id).head, "next:" + due.zone)
        pipe.hset(keys.invocation(schedule_id).head, "entries", "0")
        pipe.scard(keys.invocation(schedule_id).active)
        if not pipe.execute()[-1]:
            self._client.hdel(keys.SCHEDULES, schedule_id)

    def definition(self, schedule_id: str) -> Definition | Unreadable | None:
        """Read one definition, or None."""
        return self.read([schedule_id])[0]

    def read(self, schedule_ids: Sequence[str]) -> list[Definition | Unreadable | None]:
        """Read several definitions; None for a schedule that does not live."""
        if not schedule_ids:
            return []
        raw = cast("list[bytes | None]", self._client.hmget(keys.SCHEDULES, list(schedule_ids)))
        return [
            definitions.decode(self._vault, schedule_id, sealed) if sealed else None
            for schedule_id, sealed in zip(schedule_ids, raw, strict=True)
        ]

    def alter(self, schedule_id: str, change: Callable[[Definition], Definition]) -> bool:
        """Change a definition in its place, whoever else changes it at this moment; False if it is gone."""
        while True:
            sealed = cast("bytes | None", self._client.hget(keys.SCHEDULES, schedule_id))
            found = definitions.decode(self._vault, schedule_id, sealed) if sealed else None
            if sealed is None or not isinstance(found, Definition):
                return False
            changed = definitions.encode(self._vault, change(found))
            if self._replace(keys=[keys.SCHEDULES], args=[schedule_id, sealed, changed]):
                return True

    def ids(self) -> list[str]:
        """Return the ids of all living schedules."""
        return sorted(raw.decode() for raw in cast("list[bytes]", self._client.hkeys(keys.SCHEDULES)))

    def entries_of(self, schedule_id: str) -> list[Due]:
        """Return the entries of one schedule: its zones stand in its head."""
        zones = _zones(cast("list[bytes]", self._client.hkeys(keys.invocation(schedule_id).head)))
        entries = [entry_of(schedule_id, zone) for zone in zones]
        scores = self._client.zmscore(keys.DUE, entries) if entries else []
        return [Due(entry, int(score)) for entry, score in zip(entries, scores, strict=True) if score is not None]

    def due(self, until_ms: int, limit: int, *, since_ms: int | None = None) -> list[Due]:
        """Return entries that must act from *since_ms* to *until_ms*, the first one first."""
        first = "-inf" if since_ms is None else since_ms
        found = self._client.zrangebyscore(keys.DUE, first, until_ms, start=0, num=limit, withscores=True)
        return [Due(raw.decode(), int(score)) for raw, score in cast("list[tuple[bytes, float]]", found)]

    def zoned(self) -> dict[str, set[str]]:
        """Return the schedules that hosts run by their own time zones, and which zones each has."""
        found: dict[str, set[str]] = {}
        for raw in cast("list[bytes]", self._client.zrange(keys.DUE, 0, -1)):
            schedule_id, _, zone = raw.decode().partition("|")
            if zone:
                found.setdefault(schedule_id, set()).add(zone)
        return found

    def next_act_ms(self) -> int | None:
        """Return when the next entry must act."""
        found = cast("list[tuple[bytes, float]]", self._client.zrange(keys.DUE, 0, 0, withscores=True))
        return int(found[0][1]) if found else None

    def facts(self, dues: Sequence[tuple[str, str]]) -> list[EntryFacts]:
        """Read where several (schedule, zone) stand."""
        pipe = self._client.pipeline(transaction=False)
        for schedule_id, zone in dues:
            pipe.hmget(keys.invocation(schedule_id).head, [f"next:{zone}", f"fired:{zone}", "unfinished"])
        return [
            EntryFacts(int(due) if due else None, int(fired or 0), int(open_ or 0))
            for due, fired, open_ in pipe.execute()
        ]

    def standings(self, schedule_ids: Sequence[str]) -> list[list[EntryFacts]]:
        """Read where all entries of several schedules stand, in two round trips."""
        pipe = self._client.pipeline(transaction=False)
        for schedule_id in schedule_ids:
            pipe.hkeys(keys.invocation(schedule_id).head)
        zones = [_zones(names) for names in pipe.execute()]
        pairs = [(schedule_id, zone) for schedule_id, some in zip(schedule_ids, zones, strict=True) for zone in some]
        facts = iter(self.facts(pairs))
        return [list(itertools.islice(facts, len(some))) for some in zones]

    def fire(self, holder: str, epoch: int, firings: Sequence[Firing]) -> bool:
        """Move entries on and write what they fire into the outbox; False if the lease belongs to another beat."""
        for start in range(0, len(firings), _ENTRIES_PER_CALL):
            some = [msgspec.json.encode(firing) for firing in firings[start : start + _ENTRIES_PER_CALL]]
            names = [keys.BEAT, keys.DUE, keys.FIRINGS, keys.SCHEDULES, keys.HELD]
            if cast("int", self._fire(keys=names, args=[holder, epoch, *some])) < 0:
                return False
        return True

    def release(self, now_ms: int) -> int:
        """Let what a freeze held back be looked at now; returns how many entries."""
        held = [raw.decode() for raw in cast("set[bytes]", self._client.smembers(keys.HELD))]
        if held:
            pipe = self._client.pipeline(transaction=True)
            pipe.zadd(keys.DUE, dict.fromkeys(held, now_ms), xx=True)
            pipe.srem(keys.HELD, *held)
            pipe.execute()
        return len(held)

    def holds(self) -> bool:
        """Tell whether a freeze holds anything back."""
        return bool(self._client.exists(keys.HELD))

    def outbox(self, limit: int) -> list[tuple[bytes, Occurrence | None]]:
        """Return the oldest occurrences that are not carried out yet; None for what only wakes the beat."""
        entries = cast("list[Any]", self._client.xrange(keys.FIRINGS, count=limit))
        return [(entry_id, _occurrence(fields)) for entry_id, fields in entries]

    def waiting_since_ms(self) -> int | None:
        """Return since when the oldest occurrence waits to be carried out; None if none does."""
        oldest = cast("list[Any]", self._client.xrange(keys.FIRINGS, count=1))
        return int(oldest[0][0].partition(b"-")[0]) if oldest else None

    def carried_out(self, entry_ids: Sequence[bytes]) -> None:
        """Take occurrences out of the outbox."""
        if entry_ids:
            self._client.xdel(keys.FIRINGS, *entry_ids)

    def wake(self) -> None:
        """Let the beat look at once."""
        self._client.xadd(keys.FIRINGS, {"w": ""})

    def wait(self, after: bytes, timeout_s: float) -> None:
        """Block until the outbox has something newer than entry *after*, at most *timeout_s*."""
        self._client.xread({keys.FIRINGS: after}, count=1, block=max(1, int(timeout_s * 1000)))


def _zones(names: Sequence[bytes]) -> list[str]:
    """Return the zones for which a head says when its schedule is due."""
    return [name.decode().removeprefix("next:") for name in names if name.startswith(b"next:")]


def entry_of(schedule_id: str, zone: str) -> str:
    """Return the member of the index for a schedule, or for its hosts in one time zone."""
    return f"{schedule_id}|{zone}" if zone else schedule_id


def _occurrence(fields: Mapping[bytes, bytes]) -> Occurrence | None:
    if b"o" not in fields:
        return None
    try:
        return occurrences.decode_occurrence(fields[b"o"])
    except ValueError:
        logger.exception("dropped an occurrence that cannot be read")
        return None


def head_of(entries: Mapping[str, tuple[int, int]], *, stop_on_failure: bool) -> dict[str, int | str]:
    """Return what the head of a schedule's invocation has beside that of any other."""
    more: dict[str, int | str] = {"stop_on_failure": "1"} if stop_on_failure else {}
    return {"repeating": "1", **_next_fields(entries), **more}


def _next_fields(entries: Mapping[str, tuple[int, int]]) -> dict[Any, Any]:
    return {"entries": len(entries), **{f"next:{zone}": due for zone, (due, _) in entries.items()}}
