"""From a checked request to recorded rows and published orders: the way that every invocation takes."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import messages
from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.invocation_records import Group
from fleethand_dispatcher.rows import Row, Snapshot
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.targets import Targets


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run where; *parameters* are the values as they are, the snapshot holds them masked."""

    snapshot: Snapshot
    parameters: dict[str, str]
    targets: Targets
    now_ms: int
    """When the targets were looked at: the invocation's beginning."""
    schedule_id: str = ""
    """The schedule that it is a run of; the host's built-in parameters name that one."""


class Prepared(NamedTuple):
    """An invocation that is ready to be recorded."""

    order: messages.ExecutionOrder
    body: bytes
    snapshot: bytes
    times: dict[str, int | str]
    groups: Sequence[Group]


class Launcher:
    """Records an invocation and sends its orders."""

    def __init__(self, store: Store, courier: Courier, settings: Settings) -> None:
        self._store = store
        self._courier = courier
        self._settings = settings

    def launch(self, invoke_id: str, launch: Launch) -> bool:
        """Record, then publish; False if it was recorded before.

        If this process dies in between, the reaper publishes what is recorded.
        """
        ready = self.prepare(invoke_id, launch)
        if not self._store.invocations.create(invoke_id, ready.snapshot, ready.body, ready.times, ready.groups):
            return False
        if launch.targets.online:
            self._courier.send_first(ready.order, ready.body, launch.targets.online, launch.now_ms)
        return True

    def prepare(self, invoke_id: str, launch: Launch) -> Prepared:
        """Return what is recorded and sent of an invocation; nothing is written."""
        now_ms = launch.now_ms
        window_s = launch.snapshot.deliver_within_s or self._settings.delivery_window_s
        order = self._order(invoke_id, launch, now_ms, now_ms + window_s * 1000)
        times: dict[str, int | str] = {"created_at": now_ms, "deliver_before": order.deliver_before_ms}
        groups = self._groups(launch, now_ms, order.deliver_before_ms)
        return Prepared(order, messages.encode(order), msgspec.json.encode(launch.snapshot), times, groups)

    def _order(self, invoke_id: str, launch: Launch, now_ms: int, deliver_before_ms: int) -> messages.ExecutionOrder:
        snapshot = launch.snapshot
        return messages.ExecutionOrder(
            invocation_id=invoke_id,
            command_id=snapshot.command_id,
            command_name=snapshot.command_name,
            command_type=snapshot.command_type,
            content=snapshot.command_content,
            enable_parameter=snapshot.enable_parameter,
            parameters=launch.parameters,
            interpolation=snapshot.interpolation,
            built_ins=built_ins(self._settings, launch.schedule_id or invoke_id, snapshot.command_id),
            timeout_s=snapshot.timeout_s,
            stop_grace_s=snapshot.stop_grace_s,
            working_dir=snapshot.working_dir,
            username=snapshot.username,
            termination_mode=snapshot.termination_mode,
            output_limit_bytes=self._settings.output_limit_bytes,
            created_at_ms=now_ms,
            deliver_before_ms=deliver_before_ms,
        )

    def _groups(self, launch: Launch, now_ms: int, deliver_before_ms: int) -> Sequence[Group]:
        targets = launch.targets
        again_at = now_ms + int(self._settings.redeliver_after_s * 1000)
        groups = [
            _waiting(targets.online, now_ms, sent_count=1, watch_at=min(again_at, deliver_before_ms)),
            _waiting(targets.offline, now_ms, sent_count=0, watch_at=deliver_before_ms),
        ]
        if launch.snapshot.deliver_within_s is None:
            groups.append(_unknown(targets.unknown, now_ms))
        else:
            groups.append(_waiting(targets.unknown, now_ms, sent_count=0, watch_at=deliver_before_ms))
        return groups


def built_ins(settings: Settings, invoke_id: str, command_id: str) -> dict[str, str]:
    """Return the built-in parameters that are the same on every host."""
    return {
        "RegionId": settings.region_id,
        "AccountId": settings.account_id,
        "InvokeId": invoke_id,
        "CommandId": command_id,
    }


def _waiting(instance_ids: Sequence[str], now_ms: int, *, sent_count: int, watch_at: int) -> Group:
    steps = [(now_ms, "created", "" if sent_count else "the instance is offline; the order waits for it")]
    if sent_count:
        steps.append((now_ms, "sent", ""))
    row = Row(
        status=InstanceStatus.PENDING,
        created_at=now_ms,
        updated_at=now_ms,
        sent_count=sent_count,
        sent_at=now_ms if sent_count else None,
        steps=steps,
    )
    return Group(
        instances=list(instance_ids),
        status=InstanceStatus.PENDING,
        row=_text(row),
        open=True,
        watch_at=watch_at,
        event=None,
    )


def _unknown(instance_ids: Sequence[str], now_ms: int) -> Group:
    code = InstanceErrorCode.INSTANCE_NOT_EXISTS
    status, info = INSTANCE_ERRORS[code]
    row = Row(
        status=status,
        created_at=now_ms,
        updated_at=now_ms,
        finished_at=now_ms,
        sent_count=0,
        error_code=code,
        error_info=info,
        steps=[(now_ms, "created", ""), (now_ms, status, info)],
    )
    event = {"kind": "status", "at": now_ms, "status": status, "error_code": code, "error_info": info}
    return Group(
        instances=list(instance_ids),
        status=status,
        row=_text(row),
        open=False,
        watch_at=None,
        event=msgspec.json.encode(event).decode(),
    )


def _text(row: Row) -> str:
    return msgspec.json.encode(row).decode()
