"""A dispatcher, an aggregator that moves when told to, and scripted hosts, on one real server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from beat import Beat
from fleethand_dispatcher.aggregator import Aggregator
from fleethand_dispatcher.dispatcher import Dispatcher
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from scripted_host import ScriptedHost


class ControlPlane:
    """The two halves of a control plane, with settings that make a test short."""

    def __init__(self, redis_url: str, **settings: Any) -> None:
        values = {"redeliver_after_s": 0.05, "reaper_interval_s": 0.0, "lease_s": 0.1, "stop_grace_s": 0.1, **settings}
        self.settings = Settings(redis_url=redis_url, **values)
        self.dispatcher = Dispatcher(settings=self.settings)
        self.store = Store.at(redis_url)
        self.aggregator = Aggregator(self.store, self.settings)

    def settle(self) -> None:
        """Apply all reports that are there, and look at deadlines once more."""
        while self.aggregator.step(0):
            pass

    def close(self) -> None:
        """Close the connections."""
        self.dispatcher.close()
        self.store.close()


@pytest.fixture
def make_plane(redis_url: str) -> Iterator[Callable[..., ControlPlane]]:
    """Make a control plane with settings of one's own, on another server if `redis_url` is among them."""
    made: list[ControlPlane] = []

    def make(**settings: Any) -> ControlPlane:
        made.append(ControlPlane(settings.pop("redis_url", redis_url), **settings))
        return made[-1]

    yield make
    for plane in made:
        plane.close()


@pytest.fixture
def plane(make_plane: Callable[..., ControlPlane]) -> ControlPlane:
    """A control plane."""
    return make_plane()


@pytest.fixture
def beat(plane: ControlPlane) -> Beat:
    """A beat on that control plane, whose time a test sets."""
    return Beat(plane.store, plane.settings)


@pytest.fixture
def host(redis_client: "redis.Redis[Any]", plane: ControlPlane) -> Callable[..., ScriptedHost]:
    """Make a host that is online."""

    def make(instance_id: str = "host-1", **facts: Any) -> ScriptedHost:
        made = ScriptedHost(redis_client, instance_id)
        made.beat(**facts)
        plane.settle()
        return made

    return make
