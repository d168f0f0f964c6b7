"""What an embedded stack is made of: the programs, their arguments and their environment, in the order they start."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fleethand_dispatcher.stack import server
from fleethand_dispatcher.stack.data_dir import DataDir
from fleethand_dispatcher.stack.processes import program

Role = Literal["server", "aggregator", "worker", "beat", "dashboard"]
STOP_ORDER: tuple[tuple[Role, ...], ...] = (("worker",), ("beat", "dashboard", "aggregator"), ("server",))
"""Workers first, so that their last reports are still taken; the server last of all."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the operator asked for."""

    workers: int
    dashboard_port: int | None
    """None: no dashboard."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One program of the stack."""

    name: str
    role: Role
    argv: tuple[str, ...]
    environ: Mapping[str, str]


def worker_names(count: int) -> list[str]:
    """Return the ids of the local workers."""
    return [f"local-{number}" for number in range(1, count + 1)]


def server_component(data: DataDir) -> tuple[Component, int]:
    """Prepare the server and return it with its port."""
    config, port = server.prepare(data)
    argv = (str(server.binary()), str(config))
    return Component(name="server", role="server", argv=argv, environ={**os.environ, "LC_ALL": "C"}), port


def other_components(data: DataDir, plan: Plan, urls: Mapping[str, str]) -> list[Component]:
    """Return what needs the server.

    Args:
        urls: by which each part connects, as its own user.
    """
    full = {**os.environ, "FLEETHAND_KEYS_DIR": str(data.keys)}
    for name in ("FLEETHAND_DATA", "FLEETHAND_TLS_CA_CERTS", "FLEETHAND_TLS_CERTFILE", "FLEETHAND_TLS_KEYFILE"):
        full.pop(name, None)  # they belong to another server
    environ = {name: value for name, value in full.items() if not name.startswith("FLEETHAND_DASHBOARD_")}
    found = [Component(name="aggregator", role="aggregator", argv=_control("aggregator"), environ=environ)]
    found += [_worker(data, name, environ) for name in worker_names(plan.workers)]
    found.append(Component(name="beat", role="beat", argv=_beat(), environ=environ))
    if plan.dashboard_port is not None:
        argv = _control("dashboard", "--address", server.HOST, "--port", str(plan.dashboard_port))
        found.append(Component(name="dashboard", role="dashboard", argv=argv, environ=full))
    return [_logged_in(component, urls[component.name]) for component in found]


def _logged_in(component: Component, url: str) -> Component:
    """Put the URL into the environment; every user of the machine can read arguments."""
    return replace(component, environ={**component.environ, "FLEETHAND_REDIS_URL": url})


def _control(*arguments: str) -> tuple[str, ...]:
    return (*program("fleethand"), *arguments)


def _beat() -> tuple[str, ...]:
    arguments = ("-A", "fleethand_dispatcher.celery_app", "beat", "--loglevel", "INFO")
    return (sys.executable, "-P", "-m", "celery", *arguments)


def _worker(data: DataDir, name: str, environ: Mapping[str, str]) -> Component:
    arguments = ("start", "--instance-id", name, "--name", name, "--state-dir", str(data.worker_state(name)))
    environ = {variable: value for variable, value in environ.items() if variable != "FLEETHAND_KEYS_DIR"}
    return Component(name=name, role="worker", argv=(*program("fleethand-worker"), *arguments), environ=environ)
