"""What `fleethand doctor` looks at, gathered in one go: the server's own word, and the signs of life of each part."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from fleethand_common.celery_config import REPORTS_QUEUE
from fleethand_common.clock import elapsed_s, wall_ms

if TYPE_CHECKING:
    from fleethand_dispatcher.settings import Settings
    from fleethand_dispatcher.store import Store


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """One look at a server and at who works with it; times are milliseconds since 1970."""

    server: str
    """Its URL without the password."""
    unbounded: bool
    """Whether we logged in as the server's own user, who may do everything."""
    round_trip_s: float
    info: Mapping[str, Any]
    """The server's INFO."""
    server_ms: int
    wall_ms: int
    """This machine's clock at the same moment."""
    aggregators: Mapping[str, int]
    """When each last took reports."""
    beat_at_ms: int | None
    fired_at_ms: int | None
    """Since when the oldest run that has fired waits to be made; None if none does."""
    backlog: int
    """Reports that wait to be read."""
    dead_reports: int
    seen: Mapping[str, int]
    """When each host was last heard of."""
    worker_versions: Mapping[str, int]
    """Hosts per version of the worker."""
    security: Mapping[str, tuple[int, int]]
    """How often something did not look right, by kind, and when it last did."""
    cloned: Mapping[str, int]
    """Hosts whose identity two machines have used, and when they last did."""
    altered: int
    """Records of hosts that somebody else has changed."""


def look(settings: "Settings") -> Vitals:
    """Gather everything.

    Raises:
        ServerUnavailableError: the server cannot be reached or does not let us in.
    """
    from fleethand_dispatcher.connection import guarded  # noqa: PLC0415

    return guarded(_look)(settings)


def _look(settings: "Settings") -> Vitals:
    from fleethand_dispatcher.keyring import Keyring  # noqa: PLC0415
    from fleethand_dispatcher.store import Store  # noqa: PLC0415

    store = Store.at(settings.server_url(), Keyring.load(settings.keys_path()).vault)
    try:
        return _gathered(store, settings)
    finally:
        store.close()


def _gathered(store: "Store", settings: "Settings") -> Vitals:
    from fleethand_dispatcher import keys  # noqa: PLC0415
    from fleethand_dispatcher.connection import masked  # noqa: PLC0415
    from fleethand_dispatcher.lease import Lease  # noqa: PLC0415
    from fleethand_dispatcher.redis_users import RedisUsers  # noqa: PLC0415

    server_ms, ours_ms, took_s = _clocks(store)
    beat = Lease(store.client).holder()
    sightings = list(store.instances.sightings())
    known = [each for each in sightings if each is not None]
    alive = cast("dict[bytes, bytes]", store.client.hgetall(keys.AGGREGATORS))
    return Vitals(
        server=masked(settings.redis_url),
        unbounded=RedisUsers(store.client).is_unbounded(),
        round_trip_s=took_s,
        info=cast("Mapping[str, Any]", store.client.info()),
        server_ms=server_ms,
        wall_ms=ours_ms,
        aggregators={name.decode(): int(at_ms) for name, at_ms in alive.items()},
        beat_at_ms=beat.at_ms if beat else None,
        fired_at_ms=store.schedules.waiting_since_ms(),
        backlog=store.client.llen(REPORTS_QUEUE),
        dead_reports=store.client.llen(keys.DEAD_REPORTS),
        seen=store.instances.all_seen(),
        worker_versions=Counter(each.facts.worker_version for each in known),
        security=store.security.read(),
        cloned={each.facts.instance_id: each.cloned_at for each in known if each.cloned_at is not None},
        altered=len(sightings) - len(known),
    )


def _clocks(store: "Store") -> tuple[int, int, float]:
    """Return the server's time and ours, when it read its own, in ms, and the seconds of the round trip."""
    store.now_ms()  # connects, so that the next one is only the round trip
    began_s = elapsed_s()
    server_ms, ours_ms = store.now_ms(), wall_ms()
    took_s = elapsed_s() - began_s
    return server_ms, ours_ms - int(took_s * 500), took_s
