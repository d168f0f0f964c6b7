"""Stops invocations, schedules and single instances of them (spec 2.7)."""

from collections.abc import Sequence

from fleethand_common import messages
from fleethand_common.commands import RepeatMode
from fleethand_common.states import LIVE, InstanceStatus
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.changes import Change
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.letter_writer import LetterWriter, Written
from fleethand_dispatcher.models import StopDisposition
from fleethand_dispatcher.rows import Head
from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

_CHUNK = 1000
_TAKEN = frozenset({StopDisposition.STOPPING, StopDisposition.CANCELLED, StopDisposition.STOPPED})
"""What says that a stop was of use."""
_NO_TOKENS = Written(b"", {})


class Stopper:
    """Withdraws what was not sent and asks hosts to stop the rest.

    Args:
        writer: signs what is asked of hosts; without one, only what was written before can be asked again.
    """

    def __init__(self, store: Store, courier: Courier, settings: Settings, writer: LetterWriter | None = None) -> None:
        self._store = store
        self._courier = courier
        self._settings = settings
        self._writer = writer

    def stop(self, invoke_id: str, instance_ids: Sequence[str]) -> dict[str, StopDisposition]:
        """Stop an invocation on some instances, or on all: then a schedule fires no more."""
        head = self._store.invocations.head(invoke_id)
        if head is None:
            raise refusal("InvalidInvokeId.NotFound", f"There is no invocation {invoke_id!r}.")
        now_ms = self._store.now_ms()
        repeats = head.snapshot.repeat_mode is RepeatMode.PERIOD
        given = list(dict.fromkeys([instance_ids] if isinstance(instance_ids, str) else instance_ids))
        if repeats and not given:
            self._store.schedules.end(invoke_id)
        everyone = given or self._store.invocations.targets(invoke_id)
        dispositions: dict[str, StopDisposition] = {}
        for start in range(0, len(everyone), _CHUNK):
            some = everyone[start : start + _CHUNK]
            if repeats:
                dispositions |= self._stop_schedule(invoke_id, some, now_ms)
            else:
                dispositions |= self._stop_some(invoke_id, head, some, now_ms)
        if _TAKEN & set(dispositions.values()):
            self._store.invocations.mark_stop(invoke_id, now_ms)
        if repeats:
            self._end_if_nobody_is_left(invoke_id)
        return dispositions

    def _end_if_nobody_is_left(self, schedule_id: str) -> None:
        """End a schedule that was stopped host by host; one whose targets are looked for again goes on."""
        definition = self._store.schedules.definition(schedule_id)
        head = self._store.invocations.head(schedule_id)
        if isinstance(definition, Definition) and definition.aim.is_fixed and head and not head.unfinished:
            self._store.schedules.end(schedule_id)

    def pass_on(self, schedule_id: str, instance_ids: Sequence[str], now_ms: int) -> None:
        """Stop the runs of a schedule that are under way on some instances."""
        active = self._store.runs.active(schedule_id)
        for run_id, head in zip(active, self._store.invocations.heads(active), strict=True):
            if head is not None:
                self._stop_some(run_id, head, instance_ids, now_ms)

    def _stop_schedule(self, schedule_id: str, chunk: Sequence[str], now_ms: int) -> dict[str, StopDisposition]:
        self._write_ahead(schedule_id, chunk, now_ms)
        dispositions = self._change(schedule_id, _NO_TOKENS, chunk, now_ms)
        if asked := _asked(dispositions):
            self.pass_on(schedule_id, asked, now_ms)
        return dispositions

    def _write_ahead(self, schedule_id: str, chunk: Sequence[str], now_ms: int) -> None:
        """Write the stops of the runs under way: if this process dies, the reaper passes them on and cannot sign."""
        active = self._store.runs.active(schedule_id)
        for run_id, head in zip(active, self._store.invocations.heads(active), strict=True):
            if head is not None:
                rows = zip(chunk, self._store.invocations.rows(run_id, chunk), strict=True)
                written = self._write(run_id, head, [i for i, row in rows if row and row.status in LIVE], now_ms)
                self._store.invocations.keep_stop_tokens(run_id, written.tokens)

    def _stop_some(self, invoke_id: str, head: Head, chunk: Sequence[str], now_ms: int) -> dict[str, StopDisposition]:
        dispositions = self._change(invoke_id, self._write(invoke_id, head, chunk, now_ms), chunk, now_ms)
        asked = _asked(dispositions)
        rows = dict(zip(asked, self._store.invocations.rows(invoke_id, asked), strict=True))
        if rows:
            self._courier.send_stop(invoke_id, {i: row for i, row in rows.items() if row}, now_ms)
        return dispositions

    def _write(self, invoke_id: str, head: Head, instance_ids: Sequence[str], now_ms: int) -> Written:
        """Sign a stop and keep its letter; its tokens go with the changes."""
        if self._writer is None:
            return _NO_TOKENS
        stop = messages.StopOrder(invocation_id=invoke_id, deliver_before_ms=head.deliver_before)
        written = self._writer.stop(stop, instance_ids, now_ms)
        self._store.invocations.keep_stop_letter(invoke_id, written.letter)
        return written

    def _change(
        self, invoke_id: str, written: Written, chunk: Sequence[str], now_ms: int
    ) -> dict[str, StopDisposition]:
        again_ms = int(self._settings.redeliver_after_s * 1000)
        changes = [
            (Change(i=i, kind="stop", at=now_ms, watch_after_ms=again_ms), written.tokens.get(i, "")) for i in chunk
        ]
        answers = self._store.invocations.apply({invoke_id: changes})[invoke_id]
        return {i: _disposition(old, new) for i, (old, new) in zip(chunk, answers, strict=True)}


def _asked(dispositions: dict[str, StopDisposition]) -> list[str]:
    return [i for i, disposition in dispositions.items() if disposition is StopDisposition.STOPPING]


def _disposition(old: str, new: str) -> StopDisposition:
    if not old:
        return StopDisposition.NOT_FOUND
    if new == InstanceStatus.STOPPING:
        return StopDisposition.STOPPING
    if new == InstanceStatus.CANCELLED and old != new:
        return StopDisposition.CANCELLED
    if new == InstanceStatus.STOPPED and old != new:
        return StopDisposition.STOPPED
    return StopDisposition.ALREADY_FINISHED
