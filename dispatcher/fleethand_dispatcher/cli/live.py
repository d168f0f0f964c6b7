"""Live output completed: events bring pieces, best effort; the result has the whole; nothing is shown twice."""

import hashlib
from typing import TYPE_CHECKING

from fleethand_common.limits import OUTPUT_HEAD_BYTES
from fleethand_dispatcher.cli.lines import LinePrinter

if TYPE_CHECKING:
    from fleethand_dispatcher.models import InvocationResult


class LiveOutput:
    """Shows each host's output once, from its live pieces and, at its end, from its result."""

    def __init__(self, printer: LinePrinter) -> None:
        self._printer = printer
        self._shown: dict[str, _Shown] = {}
        self._complete: set[str] = set()

    def feed(self, instance_id: str, data: str) -> None:
        """Show a live piece."""
        if instance_id not in self._complete:
            self._shown.setdefault(instance_id, _Shown()).add(data)
            self._printer.feed(instance_id, data)

    def complete(self, result: "InvocationResult") -> None:
        """Show what is missing of a host's output; a second call does nothing."""
        if result.instance_id in self._complete:
            return
        self._complete.add(result.instance_id)
        shown = self._shown.pop(result.instance_id, None) or _Shown()
        self._printer.feed(result.instance_id, shown.rest(result.output, result.dropped))
        self._printer.finish(result.instance_id)

    def finish(self) -> None:
        """Show the beginnings of lines that have no end yet."""
        self._printer.finish_all()


class _Shown:
    """How much of one host's output was shown, and its digest."""

    def __init__(self) -> None:
        self._bytes = 0
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, data: str) -> None:
        raw = data.encode()
        self._bytes += len(raw)
        self._digest.update(raw)

    def rest(self, output: str, dropped: int) -> str:
        """Return what comes after what was shown."""
        raw = output.encode()
        if dropped:
            return self._rest_around_gap(raw, dropped)
        if self._digest.digest() != hashlib.blake2b(raw[: self._bytes], digest_size=16).digest():
            return "\n… live output got lost; all of it:\n" + output
        return raw[self._bytes :].decode(errors="ignore")

    def _rest_around_gap(self, raw: bytes, dropped: int) -> str:
        head = min(OUTPUT_HEAD_BYTES, len(raw))
        tail_at = head + dropped
        tail = raw[head + max(0, self._bytes - tail_at) :]
        missing = max(0, tail_at - max(self._bytes, head))
        gap = f"\n… {missing} bytes dropped …\n" if missing else ""
        return raw[self._bytes : head].decode(errors="ignore") + gap + tail.decode(errors="ignore")
