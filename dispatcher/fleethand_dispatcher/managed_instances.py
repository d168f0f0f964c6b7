"""The enrolled hosts as an operator sees them, and their end (spec 12.3)."""

from collections.abc import Mapping, Sequence

import msgspec

from fleethand_common import clock
from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.states import TERMINAL, InstanceStatus
from fleethand_dispatcher import paging
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.changes import Change, presumption
from fleethand_dispatcher.enrolling_requests import check_instance_name
from fleethand_dispatcher.host_records import EnrolledHost
from fleethand_dispatcher.instance_records import InstanceRecord
from fleethand_dispatcher.models import ManagedInstance, Page
from fleethand_dispatcher.redis_users import RedisUsers
from fleethand_dispatcher.requests import TargetsRequest, parse
from fleethand_dispatcher.rows import Row
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

_CHUNK = 500


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which instances are asked for; None is any."""

    instance_ids: Sequence[str] = ()
    instance_name: str | None = None
    instance_ip: str | None = None
    os_type: str | None = None
    activation_id: str | None = None
    machine_id: str | None = None
    connected: bool | None = None
    tags: Mapping[str, str] = {}

    def accept(self, shown: ManagedInstance) -> bool:
        """Tell whether an instance fits every filter."""
        equal = (
            (self.instance_name, shown.instance_name),
            (self.activation_id, shown.activation_id),
            (self.machine_id, shown.machine_id),
            (self.connected, shown.connected),
            (self.os_type and self.os_type.lower(), shown.os_type.lower()),
        )
        if any(wanted is not None and wanted != found for wanted, found in equal):
            return False
        if self.instance_ip is not None and self.instance_ip not in (shown.intranet_ip, shown.internet_ip):
            return False
        return all(shown.tags.get(key) == value for key, value in self.tags.items())


class ManagedInstances:
    """Answers questions about enrolled hosts, renames and deregisters them."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def describe(self, filters: Filters, *, max_results: int, next_token: str) -> Page[ManagedInstance]:
        """Return enrolled hosts that fit, sorted by id."""
        size = paging.check_size(max_results)
        start = paging.position(next_token, str) or ""
        if filters.instance_ids:
            names = list(parse(TargetsRequest, {"instance_ids": filters.instance_ids}).instance_ids)
        else:
            names = self._store.hosts.ids()
        names = sorted(name for name in names if name > start)
        found: list[ManagedInstance] = []
        for first in range(0, len(names), _CHUNK):
            found += [shown for shown in self._read(names[first : first + _CHUNK]) if filters.accept(shown)]
            if len(found) > size:
                break
        token = paging.token(found[size - 1].instance_id) if len(found) > size else ""
        return Page(items=found[:size], next_token=token)

    def modify(self, instance_id: str, instance_name: str) -> ManagedInstance:
        """Give an instance another name; targets by name follow with its next heartbeat."""
        check_instance_name(instance_name)
        changed = self._store.hosts.change(instance_id, lambda host: msgspec.structs.replace(host, name=instance_name))
        if changed is None:
            raise refusal("InvalidInstance.NotFound", f"{instance_id!r} is not enrolled.")
        return self._read([instance_id])[0]

    def deregister(self, instance_id: str) -> ManagedInstance:
        """End an enrolment: from now on nothing goes to this host and nothing of it is believed.

        What had not ended there ends as `InstanceDeregistered`; results stay. The record of the host goes last, so that
        a call which failed is carried on by the next one.
        """
        (host,) = self._store.hosts.read([instance_id])
        if host is None:
            raise refusal("InvalidInstance.NotFound", f"{instance_id!r} is not enrolled.")
        shown = self._read([instance_id])[0]
        if host.redis_user:
            with RedisUsers.of(self._settings) as users:
                users.delete_host(host.redis_user)
                users.save()
        self._end_rows(instance_id)
        if not self._store.hosts.delete(instance_id):
            raise refusal("InvalidInstance.NotFound", f"{instance_id!r} is not enrolled any more.")
        self._end_rows(instance_id)  # those that were made meanwhile
        self._store.instances.forget(instance_id)
        if host.activation_id:
            self._store.activations.count_deregistered(host.activation_id)
        return shown

    def _end_rows(self, instance_id: str) -> None:
        """End what had not ended on a host that is gone; nobody will hear of it any more.

        A schedule goes on without it: its run there is ended, and the next ones end as soon as they are made.
        """
        for invoke_id in self._store.invocations.unfinished_on(instance_id):
            row = self._store.invocations.row(invoke_id, instance_id)
            is_schedule = row is not None and row.cycle is not None
            for each in self._store.runs.active(invoke_id) if is_schedule else [invoke_id]:
                self._end_row(each, instance_id)

    def _end_row(self, invoke_id: str, instance_id: str) -> None:
        row = self._store.invocations.row(invoke_id, instance_id)
        while row is not None and row.status not in TERMINAL:
            self._store.invocations.apply({invoke_id: [(_ended(instance_id, row, self._store.now_ms()), "")]})
            row = self._store.invocations.row(invoke_id, instance_id)

    def _read(self, instance_ids: Sequence[str]) -> list[ManagedInstance]:
        since_ms = self._store.now_ms() - self._settings.online_within_s * 1000
        pairs = zip(self._store.hosts.read(instance_ids), self._store.instances.read(instance_ids), strict=True)
        return [_shown(host, seen, since_ms) for host, seen in pairs if host is not None]


def _ended(instance_id: str, row: Row, at_ms: int) -> Change:
    """Return the end of a row on a host that is gone: what was never started cannot have failed there."""
    code = InstanceErrorCode.INSTANCE_DEREGISTERED
    to = InstanceStatus.ERROR if row.started_at else InstanceStatus.ABORTED
    return presumption(instance_id, row.status, code, INSTANCE_ERRORS[code].info, at_ms=at_ms, to=to)


def _shown(host: EnrolledHost, seen: InstanceRecord | None, online_since_ms: int) -> ManagedInstance:
    facts, beat = host.facts, seen.facts if seen else None
    name, tags = host.agreed(beat.name if beat else facts.hostname, beat.tags if beat else {})
    invoked = seen.last_invoked_at if seen else None
    return ManagedInstance(
        instance_id=host.instance_id,
        instance_name=name,
        activation_id=host.activation_id,
        connected=seen is not None and seen.last_seen_at >= online_since_ms,
        registration_time=clock.to_datetime(host.enrolled_at_ms),
        machine_id=facts.machine_id,
        hostname=facts.hostname,
        intranet_ip=facts.intranet_ip,
        internet_ip=facts.internet_ip,
        os_type=_lower(beat.os_type if beat else facts.os_type),
        os_version=beat.os_version if beat else facts.os_version,
        agent_version=beat.worker_version if beat else facts.worker_version,
        invocation_count=beat.executions if beat else 0,
        last_invoked_time=None if invoked is None else clock.to_datetime(invoked),
        tags=tags,
    )


def _lower(os_type: str) -> str:
    return os_type if os_type == "FreeBSD" else os_type.lower()
