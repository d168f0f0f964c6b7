"""Tells how far a stack that starts has come, from the outside: by what its parts do, not by what they claim."""

from dataclasses import dataclass
from typing import cast

from fleethand_common.errors import ServerUnavailableError
from fleethand_dispatcher import keys
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.lease import Lease
from fleethand_dispatcher.stack import server
from fleethand_dispatcher.stack.components import worker_names
from fleethand_dispatcher.stack.data_dir import DataDir, StackState
from fleethand_dispatcher.store import Store

_MANY_RESTARTS = 2


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What already works."""

    server: bool = False
    control: bool = False
    """The aggregator takes reports and the beat ticks."""
    workers_online: int = 0
    workers: int = 0
    dashboard: bool = False

    @property
    def complete(self) -> bool:
        """True when all works."""
        return self.server and self.control and self.dashboard and self.workers_online == self.workers

    def waiting_for(self) -> str:
        """Say what is still missing."""
        if not self.server:
            return "the server"
        if self.workers_online < self.workers:
            return f"workers, {self.workers_online} of {self.workers} are online"
        return "the dashboard" if self.control else "the aggregator and the beat"


class Probe:
    """Looks at one stack again and again until it is ready."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._store: Store | None = None
        self._serves = False

    def look(self, state: StackState) -> Readiness:
        """Return what works now."""
        port = state.server_port()
        self._serves = self._serves or (bool(port) and server.answers(port, self._data.password()))
        if not self._serves:
            return Readiness(workers=state.workers)
        try:
            return self._records(state, self._open(port))
        except ServerUnavailableError:
            self._serves = False
            return Readiness(workers=state.workers)

    def close(self) -> None:
        """Close the connection."""
        if self._store is not None:
            self._store.close()

    def _open(self, port: int) -> Store:
        if self._store is None:
            self._store = Store.at(self._data.redis_url(port), Keyring.load(self._data.keys).vault)
        return self._store

    @guarded
    def _records(self, state: StackState, store: Store) -> Readiness:
        """What the records hold from an earlier run of the same folder does not count."""
        since_ms = int(state.keeper.started_at * 1000)
        names = worker_names(state.workers)
        online = sum(1 for seen in store.instances.seen(names) if seen and seen >= since_ms)
        aggregators = [int(at_ms) for at_ms in cast("list[bytes]", store.client.hvals(keys.AGGREGATORS))]
        beat = Lease(store.client).holder()
        dashboard_port = state.dashboard_port()
        return Readiness(
            server=True,
            control=max(aggregators, default=0) >= since_ms and beat is not None and beat.at_ms >= since_ms,
            workers_online=online,
            workers=state.workers,
            dashboard=dashboard_port is None or server.listens(dashboard_port),
        )


def failing(state: StackState) -> str | None:
    """Return the name of a component that ends again and again."""
    return next((c.name for c in state.components if c.restarts >= _MANY_RESTARTS), None)
