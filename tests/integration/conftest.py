"""A dispatcher, an aggregator that moves when told to, and scripted hosts, on one real server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

import enrolled
from beat import Beat
from fleethand_dispatcher.aggregator import Aggregator
from fleethand_dispatcher.dispatcher import Dispatcher
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from processes import Programs
from registrar import Registrar
from scripted_host import ScriptedHost


class ControlPlane:
    """The two halves of a control plane, with settings that make a test short."""

    def __init__(self, redis_url: str, keyring: Keyring, **settings: Any) -> None:
        values = {"redeliver_after_s": 0.05, "reaper_interval_s": 0.0, "lease_s": 0.1, "stop_grace_s": 0.1, **settings}
        self.keyring = keyring
        self.settings = Settings(redis_url=redis_url, keys_dir=str(keyring.folder), **values)
        self.dispatcher = Dispatcher(settings=self.settings)
        self.store = Store.at(redis_url, keyring.vault)
        self.aggregator = Aggregator(self.store, self.settings, keyring)

    def settle(self) -> None:
        """Apply all reports that are there, and look at deadlines once more."""
        while self.aggregator.step(0):
            pass

    def close(self) -> None:
        """Close the connections."""
        self.dispatcher.close()
        self.store.close()


@pytest.fixture
def make_plane(redis_url: str, keyring: Keyring) -> Iterator[Callable[..., ControlPlane]]:
    """Make a control plane with settings of one's own, on another server if `redis_url` is among them."""
    made: list[ControlPlane] = []

    def make(**settings: Any) -> ControlPlane:
        made.append(ControlPlane(settings.pop("redis_url", redis_url), keyring, **settings))
        return made[-1]

    yield make
    for plane in made:
        plane.close()


@pytest.fixture
def plane(make_plane: Callable[..., ControlPlane]) -> ControlPlane:
    """A control plane."""
    return make_plane()


@pytest.fixture
def make_host(redis_client: "redis.Redis[Any]", redis_url: str, keyring: Keyring) -> Callable[..., ScriptedHost]:
    """Make a host that is enrolled and was not heard of yet; a second call with its id returns the same one."""
    made: dict[str, ScriptedHost] = {}

    def make(instance_id: str = "host-1") -> ScriptedHost:
        if instance_id not in made:
            made[instance_id] = ScriptedHost(redis_client, enrolled.provision(redis_url, keyring, instance_id))
        return made[instance_id]

    return make


@pytest.fixture
def beat(plane: ControlPlane, keyring: Keyring) -> Beat:
    """A beat on that control plane, whose time a test sets."""
    return Beat(plane.store, plane.settings, keyring)


@pytest.fixture
def host(make_host: Callable[..., ScriptedHost], plane: ControlPlane) -> Callable[..., ScriptedHost]:
    """Make a host that is online."""

    def make(instance_id: str = "host-1", **facts: Any) -> ScriptedHost:
        made = make_host(instance_id)
        made.beat(**facts)
        plane.settle()
        return made

    return make


@pytest.fixture
def make_registrar(programs: Programs, redis_url: str, keyring: Keyring) -> Callable[..., Registrar]:
    """Start a registration service with settings of one's own."""
    return lambda **settings: Registrar(programs, redis_url, keyring, **settings)


@pytest.fixture
def registrar(make_registrar: Callable[..., Registrar]) -> Registrar:
    """A registration service."""
    return make_registrar()
