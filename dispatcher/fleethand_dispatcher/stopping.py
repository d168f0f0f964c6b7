"""Stops invocations, schedules and single instances of them (spec 2.7)."""

from collections.abc import Sequence

from fleethand_common.commands import RepeatMode
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.changes import Change
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.models import StopDisposition
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

_CHUNK = 1000
_TAKEN = frozenset({StopDisposition.STOPPING, StopDisposition.CANCELLED, StopDisposition.STOPPED})
"""What says that a stop was of use."""


class Stopper:
    """Withdraws what was not sent and asks hosts to stop the rest."""

    def __init__(self, store: Store, courier: Courier, settings: Settings) -> None:
        self._store = store
        self._courier = courier
        self._settings = settings

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
            some = self._stop_some(invoke_id, everyone[start : start + _CHUNK], now_ms, is_schedule=repeats)
            dispositions |= some
        if _TAKEN & set(dispositions.values()):
            self._store.invocations.mark_stop(invoke_id, now_ms)
        if repeats:
            self._end_if_nobody_is_left(invoke_id)
        return dispositions

    def _end_if_nobody_is_left(self, schedule_id: str) -> None:
        """End a schedule that was stopped host by host; one whose targets are looked for again goes on."""
        definition = self._store.schedules.definition(schedule_id)
        head = self._store.invocations.head(schedule_id)
        if definition and definition.aim.is_fixed and head and not head.unfinished:
            self._store.schedules.end(schedule_id)

    def pass_on(self, schedule_id: str, instance_ids: Sequence[str], now_ms: int) -> None:
        """Stop the runs of a schedule that are under way on some instances."""
        for run_id in self._store.schedules.active(schedule_id):
            self._stop_some(run_id, instance_ids, now_ms, is_schedule=False)

    def _stop_some(
        self, invoke_id: str, chunk: Sequence[str], now_ms: int, *, is_schedule: bool
    ) -> dict[str, StopDisposition]:
        again_ms = int(self._settings.redeliver_after_s * 1000)
        changes = [(Change(i=i, kind="stop", watch_after_ms=again_ms), "") for i in chunk]
        answers = self._store.invocations.apply({invoke_id: changes})[invoke_id]
        dispositions = {i: _disposition(old, new) for i, (old, new) in zip(chunk, answers, strict=True)}
        asked = [i for i, disposition in dispositions.items() if disposition is StopDisposition.STOPPING]
        if is_schedule and asked:
            self.pass_on(invoke_id, asked, now_ms)
        elif asked:
            rows = dict(zip(asked, self._store.invocations.rows(invoke_id, asked), strict=True))
            self._courier.send_stop(invoke_id, {i: row for i, row in rows.items() if row}, now_ms)
        return dispositions


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
