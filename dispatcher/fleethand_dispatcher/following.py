"""What happens in an invocation, event by event, each host's output whole and once.

Live pieces come by the event stream, best effort. A host's last event says how much of its output they brought, and
the rest is read from the kept output. When the stream is gone, a day after the end, the rows tell the same in short.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from fleethand_common import clock
from fleethand_common.limits import OUTPUT_HEAD_BYTES
from fleethand_common.states import TERMINAL
from fleethand_dispatcher.invocation_records import Entry, InvocationRecords
from fleethand_dispatcher.models import InvocationEvent, InvocationResult
from fleethand_dispatcher.patience import Deadline, patiently
from fleethand_dispatcher.rows import Head

_BEGIN = b"0"


class Follower:
    """Follows one invocation from its beginning."""

    def __init__(
        self,
        invoke_id: str,
        records: InvocationRecords,
        *,
        head: Callable[[], Head],
        results: Callable[[], Iterator[InvocationResult]],
    ) -> None:
        self._invoke_id = invoke_id
        self._records = records
        self._head = head
        self._results = results

    def events(self, timeout_s: float | None) -> Iterator[InvocationEvent]:
        """Yield events until every instance has finished."""
        deadline = Deadline(timeout_s)
        after = _BEGIN
        while True:
            finished = patiently(self._head, deadline).unfinished == 0
            block_s = None if finished else deadline.left_s()
            entries = patiently(partial(self._records.events, self._invoke_id, after, block_s), deadline)
            yield from self._told(entries, deadline)
            if finished and not entries:
                if after == _BEGIN:
                    yield from self._in_short()
                return
            after = entries[-1].entry_id if entries else after
            if not finished:
                deadline.check(self._invoke_id)

    def _told(self, entries: Sequence[Entry], deadline: Deadline) -> Iterator[InvocationEvent]:
        kept: dict[tuple[str, str], str] = {}
        for run_id in dict.fromkeys(self._home(entry) for entry in entries if "digest" in entry.event):
            digests = [str(e.event["digest"]) for e in entries if "digest" in e.event and self._home(e) == run_id]
            found = patiently(partial(self._records.outputs, run_id, digests), deadline)
            kept |= {(run_id, digest): output for digest, output in found.items()}
        for entry in entries:
            if "digest" in entry.event:
                yield from self._rest(entry, kept[self._home(entry), entry.event["digest"]])
            yield self._event(entry)

    def _home(self, entry: Entry) -> str:
        """Return the invocation whose output an event is about: in a schedule that is one of its runs."""
        return str(entry.event.get("run") or self._invoke_id)

    def _rest(self, entry: Entry, output: str) -> Iterator[InvocationEvent]:
        event = entry.event
        if not event["intact"]:
            yield self._output(entry, output, again=True)
            return
        for data, skipped in rest(output, event["shown"], event.get("dropped", 0)):
            yield self._output(entry, data, skipped_bytes=skipped)

    def _output(self, entry: Entry, data: str, *, skipped_bytes: int = 0, again: bool = False) -> InvocationEvent:
        return InvocationEvent(
            kind="output",
            invoke_id=self._invoke_id,
            instance_id=entry.instance_id,
            at=clock.to_datetime(entry.event["at"]),
            status=entry.event["status"],
            run_id=entry.event.get("run") or "",
            data=data,
            skipped_bytes=skipped_bytes,
            again=again,
        )

    def _event(self, entry: Entry) -> InvocationEvent:
        if entry.event["kind"] == "output":
            return self._output(entry, entry.data)
        fields = ("status", "error_code", "error_info", "presumed")
        values: dict[str, Any] = {name: entry.event[name] for name in fields if entry.event.get(name)}
        return InvocationEvent(
            kind="status",
            invoke_id=self._invoke_id,
            instance_id=entry.instance_id,
            at=clock.to_datetime(entry.event["at"]),
            run_id=entry.event.get("run") or "",
            **values,
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
