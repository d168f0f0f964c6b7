"""From a checked request to recorded rows and published orders: the way that every invocation takes."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import messages
from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.sealing import PairKeys
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.letter_writer import LetterWriter, Written
from fleethand_dispatcher.permit import Permit
from fleethand_dispatcher.recording import Group, Recording
from fleethand_dispatcher.rows import Event, Row, Snapshot
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.targets import Targets

_NOT_ENROLLED = "the instance is not enrolled, so no order can be written to it"


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run where; *parameters* are the values as they are, the snapshot holds them masked."""

    snapshot: Snapshot
    parameters: dict[str, str]
    targets: Targets
    now_ms: int
    """When the targets were looked at: the invocation's beginning."""
    schedule_id: str = ""
    """The schedule that it is a run of; the host's built-in parameters name that one."""


class Admission(NamedTuple):
    """Who asks for a launch, and the check that it must pass when its targets are known."""

    permit: Permit
    check: Callable[[str, Launch], None]
    """Given the invocation's id, empty for a dry run; refuses with a RequestError."""


class Prepared(NamedTuple):
    """An invocation that is ready to be recorded and sent."""

    order: messages.ExecutionOrder
    recording: Recording

    @property
    def written(self) -> Written:
        """The order as it goes out."""
        assert self.recording.written is not None
        return self.recording.written


class Launcher:
    """Records an invocation and sends its orders."""

    def __init__(self, store: Store, writer: LetterWriter, courier: Courier, settings: Settings) -> None:
        self._store = store
        self._writer = writer
        self._courier = courier
        self._settings = settings

    def launch(self, invoke_id: str, launch: Launch, hosts_version: int | None = None) -> bool:
        """Write the order, record it, then publish; False if it was recorded before.

        If this process dies in between, the reaper publishes what is recorded.

        Args:
            hosts_version: the version of the enrolled hosts, if the caller has just read it.

        Raises:
            KeyringError: there is no key to sign with; nothing was recorded.
        """
        targets = launch.targets
        peers = self._writer.peers.keys_of([*targets.online, *targets.offline], hosts_version)
        ready = self.prepare(invoke_id, launch, peers)
        if not self._store.invocations.create(invoke_id, ready.recording):
            return False
        if targets.online:
            self._courier.send_first(ready.order, ready.written.letter, targets.online, launch.now_ms)
        return True

    def prepare(self, invoke_id: str, launch: Launch, peers: Mapping[str, PairKeys]) -> Prepared:
        """Write an invocation's order for its *peers*, which may be those of many; nothing is recorded or sent.

        Raises:
            KeyringError: there is no key to sign with.
        """
        now_ms, targets = launch.now_ms, launch.targets
        window_s = launch.snapshot.deliver_within_s or self._settings.delivery_window_s
        order = self._order(invoke_id, launch, now_ms, now_ms + window_s * 1000)
        enrolled = {name: peers[name] for name in (*targets.online, *targets.offline) if name in peers}
        recording = Recording(
            snapshot=msgspec.json.encode(launch.snapshot),
            order=messages.encode(order),
            written=self._writer.execute_for(order, enrolled),
            times={"created_at": now_ms, "deliver_before": order.deliver_before_ms},
            groups=self._groups(targets, now_ms, order.deliver_before_ms),
        )
        return Prepared(order, recording)

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

    def _groups(self, targets: Targets, now_ms: int, deliver_before_ms: int) -> Sequence[Group]:
        # also those offline: a host that says hello before its row is there would not say it again
        again_at = min(now_ms + int(self._settings.redeliver_after_s * 1000), deliver_before_ms)
        return [
            _waiting(targets.online, now_ms, sent_count=1, watch_at=again_at),
            _waiting(targets.offline, now_ms, sent_count=0, watch_at=again_at),
            _unknown(targets.unknown, now_ms),
        ]


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
        steps=[
            (now_ms, "created", _NOT_ENROLLED),
            (now_ms, status, info),
        ],
    )
    event = Event(kind="status", at=now_ms, status=status, finished_at=now_ms, error_code=code, error_info=info)
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
