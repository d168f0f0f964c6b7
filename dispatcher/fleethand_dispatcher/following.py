"""What happens in an invocation, event by event, each host's output whole and once.

Live pieces come by the event stream, best effort. The follower remembers how much they brought and its digest, so
that of the output that is kept in the end it tells only the rest. When the stream is gone, a day after the end, the
rows tell the same in short.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from fleethand_common import clock
from fleethand_common.limits import OUTPUT_HEAD_BYTES
from fleethand_common.states import TERMINAL
from fleethand_dispatcher.event_records import Entry
from fleethand_dispatcher.live_runs import LiveRuns
from fleethand_dispatcher.models import InvocationEvent, InvocationResult
from fleethand_dispatcher.patience import Deadline, patiently
from fleethand_dispatcher.rows import Head
from fleethand_dispatcher.store import Store

_BEGIN = b"0"
_HEAD_SURE = OUTPUT_HEAD_BYTES - 3
"""The kept head may end up to three bytes before its limit, at the border of a character."""


class Shown:
    """What went by live of one host's output: its length and digest, as the text itself may be long."""

    def __init__(self) -> None:
        self.length = 0
        self._digest = hashlib.blake2b()
        self._head: bytes | None = None

    def add(self, data: str) -> None:
        """Take in the next piece."""
        raw = data.encode()
        if self._head is None and self.length + len(raw) > _HEAD_SURE:
            until_head = self._digest.copy()
            until_head.update(raw[: _HEAD_SURE - self.length])
            self._head = until_head.digest()
        self._digest.update(raw)
        self.length += len(raw)

    def is_beginning_of(self, output: str, dropped: int) -> bool:
        """Tell whether a kept output begins with what was shown; of one that was cut, its head must."""
        raw = output.encode()
        if dropped and self._head is not None:
            return self._head == hashlib.blake2b(raw[:_HEAD_SURE]).digest()
        return self._digest.digest() == hashlib.blake2b(raw[: self.length]).digest()


class Follower:
    """Follows one invocation from its beginning."""

    def __init__(
        self,
        invoke_id: str,
        store: Store,
        *,
        head: Callable[[], Head],
        results: Callable[[], Iterator[InvocationResult]],
    ) -> None:
        self._invoke_id = invoke_id
        self._store = store
        self._head = head
        self._results = results
        self._shown: defaultdict[tuple[str, str], Shown] = defaultdict(Shown)
        self._runs = LiveRuns()
        self._told_run: dict[str, str] = {}

    def events(self, timeout_s: float | None) -> Iterator[InvocationEvent]:
        """Yield events until every instance has finished."""
        deadline = Deadline(timeout_s)
        after = _BEGIN
        while True:
            finished = patiently(self._head, deadline).unfinished == 0
            block_s = None if finished else deadline.left_s()
            streams = {self._invoke_id: after, **self._runs.streams}
            read = patiently(partial(self._store.events.read, streams, block_s), deadline)
            entries = read.pop(self._invoke_id, [])
            for entry in entries:
                if entry.event.last is None:
                    self._runs.see(entry)
            for run_id, pieces in read.items():
                yield from self._of_a_run(run_id, pieces)
            yield from self._told(entries, deadline)
            if finished and not entries:
                if after == _BEGIN:
                    yield from self._in_short()
                return
            after = entries[-1].entry_id if entries else after
            if not finished:
                deadline.check(self._invoke_id)

    def _of_a_run(self, run_id: str, entries: Sequence[Entry]) -> Iterator[InvocationEvent]:
        """Yield what hosts print in the middle of a schedule's run; how it ends, the schedule's own stream tells."""
        for entry in entries:
            self._runs.read(run_id, entry.entry_id)
            if entry.data and self._runs.has(run_id, entry.instance_id):
                self._shown[run_id, entry.instance_id].add(entry.data)
                yield self._output(entry, entry.data, run_id=run_id)

    def _told(self, entries: Sequence[Entry], deadline: Deadline) -> Iterator[InvocationEvent]:
        kept: dict[tuple[str, str], str | None] = {}
        for run_id in dict.fromkeys(self._home(entry) for entry in entries if entry.event.output):
            digests = [entry.event.output for entry in entries if self._home(entry) == run_id]
            found = patiently(partial(self._store.invocations.outputs, run_id, digests), deadline)
            kept |= {(run_id, digest): output for digest, output in found.items()}
        for entry in entries:
            if entry.event.kind == "output":
                if entry.data:
                    self._shown["", entry.instance_id].add(entry.data)
                    yield self._output(entry, entry.data)
                continue
            output = kept.get((self._home(entry), entry.event.output))
            # not authentic, it would show what another host said; of a schedule's run it may have been told before
            if output is not None and entry.authentic and self._is_news(entry):
                yield from self._rest(entry, output)
            self._runs.see(entry)
            yield self._status(entry)

    def _home(self, entry: Entry) -> str:
        """Return the invocation whose output an event is about: in a schedule that is one of its runs."""
        return entry.event.run or self._invoke_id

    def _is_news(self, entry: Entry) -> bool:
        """Tell whether a run's ending was not told yet; the end of its schedule tells it once more."""
        run_id = entry.event.run
        before, self._told_run[entry.instance_id] = self._told_run.get(entry.instance_id), run_id
        return not run_id or run_id != before

    def _rest(self, entry: Entry, output: str) -> Iterator[InvocationEvent]:
        shown = self._shown.pop((entry.event.run, entry.instance_id), None) or Shown()
        if not shown.is_beginning_of(output, entry.event.dropped):
            yield self._output(entry, output, again=True)
            return
        for data, skipped in rest(output, shown.length, entry.event.dropped):
            yield self._output(entry, data, skipped_bytes=skipped)

    def _output(
        self, entry: Entry, data: str, *, run_id: str = "", skipped_bytes: int = 0, again: bool = False
    ) -> InvocationEvent:
        return InvocationEvent(
            kind="output",
            invoke_id=self._invoke_id,
            instance_id=entry.instance_id,
            at=clock.to_datetime(entry.event.at),
            status=entry.event.status,
            run_id=run_id or entry.event.run,
            data=data,
            skipped_bytes=skipped_bytes,
            again=again,
        )

    def _status(self, entry: Entry) -> InvocationEvent:
        event = entry.event
        return InvocationEvent(
            kind="status",
            invoke_id=self._invoke_id,
            instance_id=entry.instance_id,
            at=clock.to_datetime(event.at),
            status=event.status,
            run_id=event.run,
            error_code=event.error_code,
            error_info=event.error_info,
            presumed=event.presumed,
            authentic=entry.authentic,
        )

    def _in_short(self) -> Iterator[InvocationEvent]:
        for result in self._results():
            known: dict[str, Any] = {
                "invoke_id": self._invoke_id,
                "instance_id": result.instance_id,
                "at": result.update_time,
                "status": result.invocation_status,
            }
            for data, skipped in rest(result.output, 0, result.dropped):
                yield InvocationEvent(kind="output", data=data, skipped_bytes=skipped, **known)
            if result.invocation_status in TERMINAL:
                yield InvocationEvent(
                    kind="status",
                    error_code=result.error_code,
                    error_info=result.error_info,
                    presumed=result.presumed,
                    authentic=result.authentic,
                    **known,
                )


def rest(output: str, shown_bytes: int, dropped: int) -> Iterator[tuple[str, int]]:
    """Yield what of a kept output comes after its first *shown_bytes*, in pieces.

    Args:
        output: head and tail as they were kept.
        dropped: bytes between the two that were not kept.

    Returns:
        Pieces, each with the number of bytes that are missing before it.
    """
    raw = output.encode()
    if not dropped:
        if len(raw) > shown_bytes:
            yield raw[shown_bytes:].decode(errors="ignore"), 0
        return
    head = _head_bytes(raw)
    if shown_bytes < head:
        yield raw[shown_bytes:head].decode(errors="ignore"), 0
    tail_at = head + dropped
    tail = raw[head + max(0, shown_bytes - tail_at) :]
    if tail:
        yield tail.decode(errors="ignore"), max(0, tail_at - max(shown_bytes, head))


def _head_bytes(raw: bytes) -> int:
    """Return where the head ends: at its limit, or before the character that would cross it."""
    end = min(OUTPUT_HEAD_BYTES, len(raw))
    while 0 < end < len(raw) and raw[end] & 0xC0 == 0x80:  # noqa: PLR2004 - the mark of a continuation byte
        end -= 1
    return end
