"""The beat as Celery runs it: one works, others are spare, and neither a kill nor the server's restart ends that."""

import sys

import pytest

from fleethand_common.clock import elapsed_s
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.keys import BEAT as KEY
from fleethand_dispatcher.lease import Holder, Lease
from fleethand_dispatcher.scheduler import LEASE_MS
from fleethand_dispatcher.store import Store
from processes import Program, Programs
from servers import Server
from waiting import wait_until

FAIL_OVER_S = 5.0


def start_beat(programs: Programs, url: str, name: str, keyring: Keyring) -> Program:
    """Start a beat with Celery's own command."""
    argv = (sys.executable, "-P", "-m", "celery", "-A", "fleethand_dispatcher.celery_app", "beat", "-l", "INFO")
    return programs.start(
        *argv, name=name, environ={"FLEETHAND_REDIS_URL": url, "FLEETHAND_KEYS_DIR": str(keyring.folder)}
    )


@pytest.fixture
def store(redis_url: str, keyring: Keyring) -> Store:
    """The records of an empty server."""
    return Store.at(redis_url, keyring.vault)


def held(lease: Lease) -> Holder:
    """Return the holder; there must be one."""
    holder = lease.holder()
    assert holder is not None
    return holder


def test_lease_has_one_holder_and_a_new_epoch_with_every_change_of_hands(store: Store) -> None:
    """Who does not hold the lease learns who does; the epoch never goes back."""
    lease = Lease(store.client)

    first = lease.take("a", LEASE_MS)
    second = lease.take("b", LEASE_MS)
    renewed = lease.take("a", LEASE_MS)
    lease.give_back("b")
    unchanged = lease.take("b", LEASE_MS)
    lease.give_back("a")
    taken = lease.take("b", LEASE_MS)

    assert [holder.name for holder in (first, second, renewed, unchanged, taken)] == ["a", "a", "a", "a", "b"]
    assert [holder.epoch for holder in (first, second, renewed, unchanged, taken)] == [1, 1, 1, 1, 2]
    assert first.until_ms == first.at_ms + LEASE_MS


def test_lease_that_ran_out_begins_a_new_epoch_even_for_its_last_holder(store: Store) -> None:
    """Between two leases of one holder another may have worked."""
    lease = Lease(store.client)

    lease.take("a", 1)
    wait_until(lambda: store.now_ms() > held(lease).until_ms, 5, "the end of the lease")

    assert lease.take("a", LEASE_MS).epoch == 2


def test_spare_takes_over_within_five_seconds_when_the_beat_is_killed(
    programs: Programs, store: Store, redis_url: str, keyring: Keyring
) -> None:
    """Two beats are safe: one works; after kill -9 the other does, under a new epoch."""
    lease = Lease(store.client)
    first = start_beat(programs, redis_url, "first", keyring)
    wait_until(lambda: lease.holder() is not None, 20, "the first beat's lease")
    before = held(lease)
    second = start_beat(programs, redis_url, "second", keyring)
    second.wait_for_output("we wait")

    first.kill()
    killed_s = elapsed_s()
    wait_until(lambda: held(lease).epoch > before.epoch, 10, "the spare's lease")

    assert elapsed_s() - killed_s < FAIL_OVER_S
    assert held(lease).name != before.name


def test_spare_takes_over_at_once_when_the_beat_is_stopped(
    programs: Programs, store: Store, redis_url: str, keyring: Keyring
) -> None:
    """A beat that ends in order gives its lease back."""
    lease = Lease(store.client)
    beat = start_beat(programs, redis_url, "beat", keyring)
    wait_until(lambda: lease.holder() is not None, 20, "the beat's lease")

    assert beat.stop() == 0

    assert held(lease).until_ms <= store.now_ms()
    assert lease.take("other", LEASE_MS).name == "other"


def test_beat_goes_on_after_the_server_was_killed_and_started_again(
    programs: Programs, own_server: Server, keyring: Keyring
) -> None:
    """The beat outlives its server, says so once, and leaves no file behind."""
    beat = start_beat(programs, own_server.url, "beat", keyring)
    store = Store.at(own_server.url, keyring.vault)
    wait_until(lambda: Lease(store.client).holder() is not None, 20, "the beat's lease")
    store.close()

    own_server.kill()
    beat.wait_for_output("trying again every second")
    own_server.start()
    beat.wait_for_output("the server is back")

    with own_server.client() as client:
        seen = client.hget(KEY, "at_ms")
        wait_until(lambda: client.hget(KEY, "at_ms") != seen, 10, "a renewed lease")
    assert beat.output().count("trying again every second") == 1
    assert not list(programs.folder.glob("celerybeat*"))


def test_beat_does_the_retention(programs: Programs, store: Store, redis_url: str, keyring: Keyring) -> None:
    """A host that was last seen in another age is forgotten."""
    store.client.zadd("fleethand:seen", {"ancient": 1, "fresh": store.now_ms()})

    start_beat(programs, redis_url, "beat", keyring)

    wait_until(lambda: list(store.instances.all_seen()) == ["fresh"], 20, "the sweep")
