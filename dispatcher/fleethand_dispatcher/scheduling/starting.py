"""How a schedule begins: an invocation whose rows wait for runs, and an entry in the index of what is due."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import clock
from fleethand_common.commands import RepeatMode
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.launching import Launch
from fleethand_dispatcher.models import Command
from fleethand_dispatcher.permit import Permit
from fleethand_dispatcher.recording import Group, Recording
from fleethand_dispatcher.requests import TargetsRequest
from fleethand_dispatcher.schedule_records import head_of
from fleethand_dispatcher.schedules.frequency import Frequency, parse_frequency
from fleethand_dispatcher.scheduling import zones
from fleethand_dispatcher.scheduling.definitions import Aim, Definition
from fleethand_dispatcher.scheduling.expanding import new_row
from fleethand_dispatcher.scheduling.policy import ScheduleRequest, check_mode
from fleethand_dispatcher.scheduling.roster import Roster
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store


class Wish(NamedTuple):
    """What a caller asked for: when, where and what."""

    invoke_id: str
    timing: ScheduleRequest
    aim: TargetsRequest
    command: Command
    is_kept: bool
    permit: Permit


class Draft(NamedTuple):
    """A schedule that could begin; nothing of it is written."""

    definition: Definition
    instances: Sequence[str]
    entries: dict[str, tuple[int, int]]


class Starter:
    """Checks and begins schedules."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def draft(self, wish: Wish, launch: Launch) -> Draft | None:
        """Return the schedule that a checked request asks for, None if it is to run once.

        Raises:
            RequestError: its frequency cannot be read, breaks a limit, or leaves no time to run.
        """
        if not check_mode(wish.timing):
            return None
        now = clock.to_datetime(launch.now_ms)
        frequency = parse_frequency(wish.timing.frequency, now=now, timeout_s=launch.snapshot.timeout_s)
        check_jitter(wish.timing.jitter_s, frequency, launch.now_ms)
        definition = Definition(
            id=wish.invoke_id,
            created_at=launch.now_ms,
            snapshot=msgspec.structs.replace(launch.snapshot, repeat_mode=RepeatMode.PERIOD, frequency=frequency.text),
            parameters=launch.parameters,
            aim=_aim(wish.aim, launch.targets.all),
            policy=wish.timing.policy(),
            permit=wish.permit,
            parameter_names=list(wish.command.parameter_names),
            parameter_rules=[rule.model_dump() for rule in wish.command.parameter_definitions],
            kept=wish.is_kept,
        )
        return Draft(definition, launch.targets.all, self.entries(definition, launch.targets.all, launch.now_ms))

    def entries(self, definition: Definition, instances: Sequence[str], now_ms: int) -> dict[str, tuple[int, int]]:
        """Return when a schedule is due and must act, per time zone of its instances if it has none of its own.

        Raises:
            RequestError: it never is.
        """
        wanted: set[str] = set()
        if definition.is_zoned:
            wanted = Roster(self._store, self._settings.online_within_s * 1000).zones(instances)
        found = zones.entries(definition, wanted, now_ms)
        if not found:
            policy, frequency = definition.policy, definition.snapshot.frequency
            given = (("start_at", policy.start_at), ("end_at", policy.end_at))
            bounds = " and ".join(f"{name}={clock.to_text(at)}" for name, at in given if at is not None)
            if bounds:
                problem = f"{frequency} has no time that {bounds} leaves; change one of them."
                raise refusal("InvalidParameter.Schedule", problem)
            raise refusal("CronExpressionExpired", f"{frequency} has no time: look at day, month and year.")
        return found

    def start(self, draft: Draft) -> bool:
        """Write a schedule, index first: an entry without an invocation is dropped when it is due, not the reverse.

        Returns:
            False if it was recorded before.
        """
        definition, now_ms = draft.definition, draft.definition.created_at
        self._store.schedules.add(definition, draft.entries)
        group = Group(
            instances=list(draft.instances),
            status=InstanceStatus.SCHEDULED,
            row=new_row(now_ms),
            open=True,
            repeating=True,
            watch_at=None,
            event=None,
        )
        window_s = definition.snapshot.deliver_within_s or self._settings.delivery_window_s
        times: dict[str, int | str] = {"created_at": now_ms, "deliver_before": now_ms + window_s * 1000}
        times |= head_of(draft.entries, stop_on_failure=definition.policy.stop_on_failure)
        recording = Recording(
            snapshot=msgspec.json.encode(definition.snapshot), order=b"", written=None, times=times, groups=[group]
        )
        is_new = self._store.invocations.create(definition.id, recording)
        self._store.schedules.wake()
        return is_new


def check_jitter(jitter_s: int, frequency: Frequency, now_ms: int) -> None:
    """Refuse a jitter that would let a run overtake the one before it.

    Raises:
        RequestError: `InvalidParameter.Schedule`.
    """
    gap_s = frequency.gap_below(jitter_s + 1, since=clock.to_datetime(now_ms))
    if gap_s is not None:
        problem = f"Cannot use jitter_s={jitter_s}: two runs of {frequency.text} are {gap_s} s apart; less is allowed."
        raise refusal("InvalidParameter.Schedule", problem)


def _aim(request: TargetsRequest, found: Sequence[str]) -> Aim:
    if request.instance_ids:
        return Aim(instance_ids=list(found))
    return Aim(
        tags=dict(request.tags), names=list(request.names), all_instances=request.all_instances, limit=request.limit
    )
