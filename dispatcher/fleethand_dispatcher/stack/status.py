"""What an operator wants to know of a stack: which parts run, how long, and whether the fleet keeps up."""

from dataclasses import dataclass

from fleethand_common.celery_config import REPORTS_QUEUE
from fleethand_common.clock import wall_ms
from fleethand_common.errors import ServerUnavailableError
from fleethand_common.limits import ONLINE_WITHIN_S
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.stack.data_dir import ComponentState, DataDir, StackState
from fleethand_dispatcher.stack.processes import Identity
from fleethand_dispatcher.store import Store


@dataclass(frozen=True, kw_only=True)
class ComponentStatus:
    """One part of the stack."""

    name: str
    state: str
    """`running`, `restarting`, `dead`, or `left over` if the keeper is gone."""
    pid: int | None
    uptime_s: float | None
    restarts: int = 0
    exit_code: int | None = None
    """How it ended last time."""


@dataclass(frozen=True, kw_only=True)
class StackStatus:
    """A whole stack; the last four fields are None while its server cannot be reached."""

    data: str
    running: bool
    redis_url: str | None = None
    dashboard_url: str | None = None
    components: tuple[ComponentStatus, ...] = ()
    instances_online: int | None = None
    instances_known: int | None = None
    orders_open: int | None = None
    """Orders and stops that hosts have not accepted yet."""
    reports_waiting: int | None = None
    """Reports that no aggregator has read yet."""


def look(data: DataDir) -> StackStatus:
    """Return what runs in *data*."""
    state = data.read_state()
    if state is None:
        return StackStatus(data=str(data.path), running=False)
    backlog: dict[str, int] = {}
    if state.processes("server"):
        try:
            backlog = _backlog(data.redis_url(state.server_port()), Keyring.load(data.keys))
        except ServerUnavailableError:
            backlog = {}
    return StackStatus(
        data=str(data.path),
        running=state.alive(),
        redis_url=state.server,
        dashboard_url=state.dashboard_url,
        components=(_keeper(state), *(_component(c, kept=state.alive()) for c in state.components)),
        **backlog,
    )


def _keeper(state: StackState) -> ComponentStatus:
    alive = state.alive()
    return ComponentStatus(
        name="keeper",
        state="running" if alive else "dead",
        pid=state.keeper.pid if alive else None,
        uptime_s=_uptime_s(state.keeper) if alive else None,
    )


def _component(component: ComponentState, *, kept: bool) -> ComponentStatus:
    process = component.process
    alive = process is not None and process.alive()
    state = ("running" if kept else "left over") if alive else ("restarting" if kept else "dead")
    return ComponentStatus(
        name=component.name,
        state=state,
        pid=process.pid if process is not None and alive else None,
        uptime_s=_uptime_s(process) if process is not None and alive else None,
        restarts=component.restarts,
        exit_code=component.exit_code,
    )


def _uptime_s(process: Identity) -> float:
    return round(max(0.0, wall_ms() / 1000 - process.started_at), 1)


@guarded
def _backlog(redis_url: str, keyring: Keyring) -> dict[str, int]:
    store = Store.at(redis_url, keyring.vault)
    try:
        seen = store.instances.all_seen()
        since_ms = store.now_ms() - ONLINE_WITHIN_S * 1000
        return {
            "instances_online": sum(1 for at_ms in seen.values() if at_ms >= since_ms),
            "instances_known": len(seen),
            "orders_open": sum(store.instances.open_counts(list(seen)).values()),
            "reports_waiting": int(str(store.client.llen(REPORTS_QUEUE))),
        }
    finally:
        store.close()
