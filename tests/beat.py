"""A beat in the test's own process, whose clock a test can set: the engine asks nobody for the time but the lease."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fleethand_common.clock import wall_ms
from fleethand_dispatcher import keys
from fleethand_dispatcher.invocation import Invocation
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.lease import Lease
from fleethand_dispatcher.models import InvocationResult
from fleethand_dispatcher.scheduling.firing import Engine
from fleethand_dispatcher.scheduling.zones import refresh
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.signer import Signer
from fleethand_dispatcher.store import Store
from scripted_host import ScriptedHost

LEASE_MS = 60_000
LONG_AGO_MS = 1
MINUTE = timedelta(minutes=1)
EVERY_MINUTE = "0 * * * * ? * UTC"
_TARGETS = {"tags", "names", "all_instances", "instance_ids"}


class AnyTime(Keyring):
    """Keys that sign whatever time it is said to be; a real beat's do not, for a time far ahead of its machine's."""

    def signer(self, at_ms: int, name: str | None = None) -> Signer:
        """Return who signs now."""
        return super().signer(min(at_ms, wall_ms()), name)


class Beat:
    """Fires schedules when it is told to, as if it were another time."""

    def __init__(self, store: Store, settings: Settings, keyring: Keyring, name: str = "beat") -> None:
        self.store = store
        self.settings = settings
        self.name = name
        self.lease = Lease(store.client)
        self.engine = Engine(store, settings, AnyTime.load(keyring.folder))

    def at(self, moment: datetime) -> None:
        """Do all that a beat does at *moment*; hosts that live have been heard of until then."""
        holder = self.lease.take(self.name, LEASE_MS)
        assert holder.name == self.name, f"{holder.name} works"
        then = holder._replace(at_ms=round(moment.timestamp() * 1000))
        living = [name for name, seen_ms in self.store.instances.all_seen().items() if seen_ms > LONG_AGO_MS]
        if living:
            self.store.client.zadd(keys.SEEN, dict.fromkeys(living, then.at_ms))
        while any(self.engine.turn(then)):
            pass

    def refresh_zones(self) -> int:
        """Look for time zones that are new to a schedule."""
        return sum(refresh(self.store, self.settings, self.store.now_ms()))

    def now(self) -> datetime:
        """Return the server's time."""
        return datetime.fromtimestamp(self.store.now_ms() / 1000, UTC)


def schedule(plane: Any, frequency: str = EVERY_MINUTE, **arguments: Any) -> Invocation:
    """Make a schedule, on host-1 unless other targets are given."""
    targets = {} if _TARGETS & set(arguments) else {"instance_ids": ["host-1"]}
    values = {"command_content": "echo hi", "timeout_s": 5, **targets, **arguments}
    made: Invocation = plane.dispatcher.run_command(frequency=frequency, **values)
    return made


def next_time(plane: Any, invocation: Invocation) -> datetime:
    """Return when a schedule is due next."""
    (found,) = plane.dispatcher.describe_schedules(invoke_id=invocation.invoke_id).items
    moment: datetime = found.next_time
    return moment


def row(invocation: Invocation, instance_id: str = "host-1") -> InvocationResult:
    """Return one row of a schedule."""
    (found,) = [result for result in invocation.results() if result.instance_id == instance_id]
    return found


def begin_run(plane: Any, beat: Beat, host: ScriptedHost, invocation: Invocation) -> str:
    """Let the next run of a schedule begin on a host, which has no other order; returns the run's id."""
    beat.at(next_time(plane, invocation))
    (order,) = host.orders()
    host.start(order.invocation_id)
    plane.settle()
    return order.invocation_id


def run_through(plane: Any, host: ScriptedHost, **ending: Any) -> list[str]:
    """Let a host carry out all orders that it has; returns their ids."""
    orders = host.orders()
    for order in orders:
        host.start(order.invocation_id)
        host.finish(order.invocation_id, **{"exit_code": 0, "output": "hi\n", **ending})
    plane.settle()
    return [order.invocation_id for order in orders]


def outcomes(invocation: Invocation) -> list[str]:
    """Return what became of the times at which a schedule was due, the oldest first."""
    return [run.outcome for run in reversed(invocation.runs())]
