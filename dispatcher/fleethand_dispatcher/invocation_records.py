"""The records of invocations: created and changed by the scripts, read in pages; sealed on the way in and out."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import keys, scripts
from fleethand_dispatcher.changes import Change
from fleethand_dispatcher.invocation_seal import InvocationSeal
from fleethand_dispatcher.letter_writer import Written
from fleethand_dispatcher.rows import Head, Row, row_decoder, snapshot_decoder
from fleethand_dispatcher.vault import Vault, VaultError

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_CHUNK = 1000
_COUNTERS = [keys.counter(status) for status in InstanceStatus]
_HEAD_FIELDS = ["snapshot", "created_at", "deliver_before", "total", "unfinished", "stop_at", "finished_at", *_COUNTERS]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Targets of a new invocation that start with the same row."""

    instances: list[str]
    status: InstanceStatus
    row: str
    """JSON of a `Row`."""
    open: bool
    """Whether something will still happen."""
    watch_at: int | None
    event: str | None
    """JSON of the event, for rows that are finished from the start."""


class Due(NamedTuple):
    """A row that the reaper must look at."""

    invoke_id: str
    instance_id: str
    row: Row


class InvocationRecords:
    """Reads and writes invocations. Rows change only through `apply`."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self.seal = InvocationSeal(vault)
        self._create = scripts.load(client, "create")
        self._transition = scripts.load(client, "transition")
        self._due = scripts.load(client, "due")
        self._forget = scripts.load(client, "forget")

    def create(
        self,
        invoke_id: str,
        *,
        snapshot: bytes,
        order: bytes,
        written: Written,
        times: Mapping[str, int],
        groups: Sequence[Group],
    ) -> bool:
        """Record an invocation and its rows, all or nothing; False if it is recorded already.

        Args:
            snapshot: JSON of a `Snapshot`.
            order: JSON of the `ExecutionOrder`, kept to run the same once more.
            written: the order's letter and tokens, kept to send it, first and again.
            times: `created_at` and `deliver_before`.
        """
        k = keys.invocation(invoke_id)
        targets = [instance_id for group in groups for instance_id in group.instances]
        fields = self.seal.head(invoke_id, snapshot, order, times, targets)
        fields["letter"] = written.letter.decode()
        answer = self._create(
            keys=[
                k.head,
                k.rows,
                k.targets,
                k.events,
                k.done,
                keys.INVOCATIONS,
                keys.WATCH,
                keys.RESULTS,
                keys.UNFINISHED,
                k.tokens,
            ],
            args=[
                invoke_id,
                msgspec.json.encode(fields),
                self._encode_groups(invoke_id, groups),
                keys.INSTANCE_PREFIX,
                _lines_of_tokens(groups, written),
            ],
        )
        return cast("int", answer) >= 0

    def apply(self, changes: Mapping[str, Sequence[tuple[Change, str]]]) -> dict[str, list[tuple[str, str]]]:
        """Apply changes, grouped by invocation, in order.

        Returns:
            Per invocation, the old and the new status of each change; equal where nothing changed, empty without a row.
        """
        calls = [
            (invoke_id, pairs[start : start + _CHUNK])
            for invoke_id, pairs in changes.items()
            for start in range(0, len(pairs), _CHUNK)
        ]
        answers: dict[str, list[tuple[str, str]]] = {invoke_id: [] for invoke_id in changes}
        for (invoke_id, _), answer in zip(calls, self._run(calls), strict=True):
            answers[invoke_id] += [(old.decode(), new.decode()) for old, new in answer]
        return answers

    def _run(self, calls: Sequence[tuple[str, Sequence[tuple[Change, str]]]]) -> list[list[tuple[bytes, bytes]]]:
        if len(calls) == 1:  # one round trip instead of two: a pipeline first asks whether the script is known
            return [self._transit(*calls[0], self._client)]
        pipe = self._client.pipeline(transaction=False)
        for invoke_id, pairs in calls:
            self._transit(invoke_id, pairs, pipe)
        return pipe.execute()

    def _transit(self, invoke_id: str, pairs: Sequence[tuple[Change, str]], client: "redis.Redis") -> Any:
        k = keys.invocation(invoke_id)
        return self._transition(
            keys=[
                k.head,
                k.rows,
                k.outputs,
                k.live,
                k.events,
                k.done,
                keys.WATCH,
                keys.INVOKED,
                keys.UNFINISHED,
                k.tokens,
            ],
            args=[invoke_id, keys.INSTANCE_PREFIX, *self.seal.arguments(invoke_id, pairs)],
            client=client,
        )

    def head(self, invoke_id: str) -> Head | None:
        """Read an invocation's head, or None; the cost does not depend on its size.

        Raises:
            VaultError: it was altered.
        """
        stored = cast("list[bytes | None]", self._client.hmget(keys.invocation(invoke_id).head, _HEAD_FIELDS))
        return self._decode_head(invoke_id, stored)

    def heads(self, invoke_ids: Sequence[str]) -> list[Head | None]:
        """Read several heads in one round trip; None for one that is not there, or was altered."""
        pipe = self._client.pipeline(transaction=False)
        for invoke_id in invoke_ids:
            pipe.hmget(keys.invocation(invoke_id).head, _HEAD_FIELDS)
        heads: list[Head | None] = []
        for invoke_id, values in zip(invoke_ids, pipe.execute(), strict=True):
            try:
                heads.append(self._decode_head(invoke_id, values))
            except VaultError as error:
                logger.error("%s", error)
                heads.append(None)
        return heads

    def counts(self, invoke_id: str) -> dict[InstanceStatus, int]:
        """Read how many instances are in each status; empty for an unknown invocation."""
        values = cast("list[bytes | None]", self._client.hmget(keys.invocation(invoke_id).head, _COUNTERS))
        return _decode_counts(values)

    def orders(self, invoke_ids: Sequence[str]) -> list[bytes | None]:
        """Read the orders of several invocations as they were before they were sealed for hosts.

        Raises:
            VaultError: one was altered.
        """
        pipe = self._client.pipeline(transaction=False)
        for invoke_id in invoke_ids:
            pipe.hget(keys.invocation(invoke_id).head, "order")
        stored = zip(invoke_ids, pipe.execute(), strict=True)
        return [self.seal.open_order(invoke_id, sealed) if sealed else None for invoke_id, sealed in stored]

    def is_as_created(self, invoke_id: str) -> bool:
        """Tell whether an invocation's times and targets are those that it was recorded with."""
        names = ["mark", "created_at", "deliver_before"]
        mark, created_at, deliver_before = cast(
            "list[bytes | None]", self._client.hmget(keys.invocation(invoke_id).head, names)
        )
        times = {"created_at": int(created_at or 0), "deliver_before": int(deliver_before or 0)}
        return self.seal.is_head((mark or b"").decode(), invoke_id, times, self.targets(invoke_id))

    def letter(self, invoke_id: str) -> bytes | None:
        """Read the letter that an invocation's order goes out in, or None."""
        return cast("bytes | None", self._client.hget(keys.invocation(invoke_id).head, "letter"))

    def stop_letter(self, invoke_id: str) -> bytes | None:
        """Read the letter that an invocation's stop goes out in, None if nobody asked for one."""
        return cast("bytes | None", self._client.hget(keys.invocation(invoke_id).head, "stop_letter"))

    def keep_stop_letter(self, invoke_id: str, letter: bytes) -> None:
        """Record the letter of an invocation's stop; the tokens come with the changes that ask for it."""
        self._client.hset(keys.invocation(invoke_id).head, "stop_letter", letter)

    def mark_stop(self, invoke_id: str, at_ms: int) -> None:
        """Note when a caller first asked to stop the invocation."""
        self._client.hsetnx(keys.invocation(invoke_id).head, "stop_at", str(at_ms))

    def row(self, invoke_id: str, instance_id: str) -> Row | None:
        """Read one row, or None."""
        return self.rows(invoke_id, [instance_id])[0]

    def rows(self, invoke_id: str, instance_ids: Sequence[str]) -> list[Row | None]:
        """Read the rows of some instances."""
        if not instance_ids:
            return []
        raw = cast("list[bytes | None]", self._client.hmget(keys.invocation(invoke_id).rows, list(instance_ids)))
        return [row_decoder.decode(value) if value else None for value in raw]

    def row_count(self, invoke_id: str) -> int:
        """Return how many rows an invocation has."""
        return self._client.hlen(keys.invocation(invoke_id).rows)

    def targets(self, invoke_id: str, start: int = 0, count: int | None = None) -> list[str]:
        """Read the instance ids of an invocation, in the caller's order."""
        end = -1 if count is None else start + count - 1
        raw = cast("list[bytes]", self._client.lrange(keys.invocation(invoke_id).targets, start, end))
        return [value.decode() for value in raw]

    def outputs(self, invoke_id: str, digests: Sequence[str]) -> dict[str, str | None]:
        """Read the kept outputs by digest; None for one that is not there, or was altered."""
        wanted = sorted({digest for digest in digests if digest})
        if not wanted:
            return {}
        raw = cast("list[bytes | None]", self._client.hmget(keys.invocation(invoke_id).outputs, wanted))
        return {
            digest: self.seal.open_output(invoke_id, digest, sealed) if sealed else None
            for digest, sealed in zip(wanted, raw, strict=True)
        }

    def live_outputs(self, invoke_id: str, instance_ids: Sequence[str]) -> dict[str, str]:
        """Read the outputs so far of instances that still run."""
        if not instance_ids:
            return {}
        raw = cast("list[bytes | None]", self._client.hmget(keys.invocation(invoke_id).live, list(instance_ids)))
        found = zip(instance_ids, raw, strict=True)
        return {name: self.seal.open_live(invoke_id, name, pieces) for name, pieces in found if pieces}

    def newest(self, *, before: tuple[int, str] | None, instance_id: str | None = None) -> Iterator[tuple[str, int]]:
        """Yield invocation ids and their times of creation, newest first.

        Args:
            before: the last pair that the caller has, or None to begin.
            instance_id: only those that target this instance.
        """
        index = keys.instance_invocations(instance_id) if instance_id else keys.INVOCATIONS
        upper: str | int = before[0] if before else "+inf"
        last, start = before, 0
        while True:
            found = cast(
                "list[tuple[bytes, float]]",
                self._client.zrevrangebyscore(index, upper, "-inf", start=start, num=_CHUNK, withscores=True),
            )
            for raw, score in found:
                pair = (int(score), raw.decode())
                if last is None or pair < last:  # new ones move the places, so the pair decides
                    last = pair
                    yield pair[1], pair[0]
            if len(found) < _CHUNK:
                return
            start += _CHUNK

    def oldest(self) -> list[tuple[str, int]]:
        """Return all invocation ids and their times of creation, oldest first."""
        found = cast("list[tuple[bytes, float]]", self._client.zrange(keys.INVOCATIONS, 0, -1, withscores=True))
        return [(raw.decode(), int(score)) for raw, score in found]

    def ids_starting_with(self, prefix: str) -> list[str]:
        """Return the invocation ids that begin with *prefix*, ten at most."""
        found: dict[str, None] = {}  # a scan may return the same one twice
        for raw, _ in self._client.zscan_iter(keys.INVOCATIONS, match=prefix + "*", count=_CHUNK):
            found[raw.decode()] = None
            if len(found) == 10:  # noqa: PLR2004
                break
        return list(found)

    def due(self, limit: int, claim_ms: int) -> tuple[int, list[Due]]:
        """Take rows that must be looked at; nobody else gets them for *claim_ms*. Returns the server's time, too."""
        answer = cast("list[Any]", self._due(keys=[keys.WATCH], args=[keys.INVOCATION_PREFIX, limit, claim_ms]))
        triples = zip(*[iter(answer[1:])] * 3, strict=True)
        due = []
        for invoke_id, instance_id, raw in triples:
            try:
                due.append(Due(invoke_id.decode(), instance_id.decode(), row_decoder.decode(raw)))
            except ValueError:
                logger.exception("cannot read the row of %r in %r; nobody watches it any more", instance_id, invoke_id)
                self._client.zrem(keys.WATCH, b"|".join((invoke_id, instance_id)))
        return int(answer[0]), due

    def unfinished(self) -> list[str]:
        """Return the ids of the invocations that have an unfinished instance, oldest first."""
        return [raw.decode() for raw in cast("list[bytes]", self._client.zrange(keys.UNFINISHED, 0, -1))]

    def unfinished_on(self, instance_id: str) -> list[str]:
        """Return the unfinished invocations that target an instance."""
        both = cast("list[bytes]", self._client.zinter([keys.UNFINISHED, keys.instance_invocations(instance_id)]))
        return [raw.decode() for raw in both]

    def unfinished_of(self, command_id: str) -> str | None:
        """Return an unfinished invocation of a command, or None."""
        invoke_ids = self.unfinished()
        for invoke_id, head in zip(invoke_ids, self.heads(invoke_ids), strict=True):
            if head and head.snapshot.command_id == command_id:
                return invoke_id
        return None

    def forget(self, invoke_id: str) -> int:
        """Remove a finished invocation and all that hangs on it; returns the rows removed, -1 if it is unfinished."""
        names = [*keys.invocation(invoke_id), keys.INVOCATIONS, keys.WATCH, keys.RESULTS]
        return int(cast("int", self._forget(keys=names, args=[invoke_id, keys.INSTANCE_PREFIX])))

    def _encode_groups(self, invoke_id: str, groups: Sequence[Group]) -> bytes:
        plain = [
            {
                "instances": group.instances,
                "status": group.status,
                "row": group.row,
                "marks": self._marks(invoke_id, group),
                "open": group.open,
                "watch_at": group.watch_at or False,
                "event": group.event or False,
            }
            for group in groups
            if group.instances
        ]
        return msgspec.json.encode(plain)

    def _marks(self, invoke_id: str, group: Group) -> list[str]:
        return [] if group.open else self.seal.marks(invoke_id, group.instances, row_decoder.decode(group.row))

    def _decode_head(self, invoke_id: str, values: Sequence[bytes | None]) -> Head | None:
        sealed, created_at, deliver_before, total, unfinished, stop_at, finished_at = values[:7]
        if sealed is None or created_at is None or deliver_before is None:
            return None
        return Head(
            snapshot=snapshot_decoder.decode(self.seal.open_snapshot(invoke_id, sealed)),
            created_at=int(created_at),
            deliver_before=int(deliver_before),
            total=int(total or 0),
            unfinished=int(unfinished or 0),
            counts=_decode_counts(values[7:]),
            stop_at=int(stop_at) if stop_at else None,
            finished_at=int(finished_at) if finished_at else None,
        )


def _lines_of_tokens(groups: Sequence[Group], written: Written) -> str:
    return "".join(written.tokens.get(i, "") + "\n" for group in groups if group.open for i in group.instances)


def _decode_counts(values: Sequence[bytes | None]) -> dict[InstanceStatus, int]:
    pairs = zip(InstanceStatus, values, strict=True)
    return {status: int(value) for status, value in pairs if value and int(value)}
