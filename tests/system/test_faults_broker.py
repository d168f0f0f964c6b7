"""A broker that is away, is killed, comes back with less than it had or with nothing: hosts and control plane go on."""

import shutil

import pytest

from fleet import Fleet, FleetFactory, spend
from fleethand_common.errors import ServerUnavailableError
from waiting import wait_until

HOSTS = ("host-1", "host-2")
WORK = "echo one; sleep 1; echo two; exit 7"
ENDED = ("Failed", 7, "one\ntwo\n")


def told(fleet: Fleet, invocation) -> set[tuple[str, int | None, str]]:
    """Return how an invocation ended on all hosts, once it has."""
    invocation.wait(40)
    return {(r.invocation_status, r.exit_code, r.output) for r in invocation.results()}


def wait_ended_on_hosts(fleet: Fleet, invocation) -> None:
    """Wait until each host has written its outcome down, whoever it can tell it to."""
    files = [fleet.entry(invocation, name) / "result.json" for name in HOSTS]
    wait_until(lambda: all(file.exists() for file in files), 20, "the results in the journals")


@pytest.fixture
def fleet(fleet: Fleet) -> Fleet:
    """Two hosts."""
    return fleet.started(*HOSTS)


def test_outcome_arrives_after_the_broker_was_away(fleet: Fleet) -> None:
    """Stopped in mid-command, away until after its end and some seconds more: the outcome arrives by itself."""
    invocation = fleet.run(WORK, *HOSTS)
    wait_until(lambda: fleet.starts_of(invocation) == 2, 20, "two starts")

    fleet.server.stop()
    wait_ended_on_hosts(fleet, invocation)
    with pytest.raises(ServerUnavailableError):
        fleet.run("")
    spend(3)
    fleet.server.start()

    assert told(fleet, invocation) == {ENDED}
    assert fleet.starts_of(invocation) == 2
    fleet.works()


def test_killed_broker_loses_nothing_that_a_host_cannot_say_again(make_fleet: FleetFactory) -> None:
    """kill -9 with everysec, in mid-command and right after an outcome was reported."""
    fleet = make_fleet(arguments=("--appendonly", "yes", "--appendfsync", "everysec")).started(*HOSTS)
    for moment in ("running", "ended"):
        invocation = fleet.run(WORK, *HOSTS)
        wait_until(lambda i=invocation: fleet.starts_of(i) == 2, 20, "two starts")
        if moment == "ended":
            wait_ended_on_hosts(fleet, invocation)
        fleet.server.kill()
        fleet.server.start()

        assert told(fleet, invocation) == {ENDED}
        assert fleet.starts_of(invocation) == 2


def test_broker_that_lost_its_last_seconds_is_told_again(fleet: Fleet) -> None:
    """The disk of a broker can be some seconds behind: what hosts had reported meanwhile, they report again."""
    invocation = fleet.run(WORK, *HOSTS)
    wait_until(lambda: invocation.status == "Running", 10, "Running")
    before = fleet.folder / "before"
    shutil.copytree(fleet.server.folder, before)
    assert told(fleet, invocation) == {ENDED}

    fleet.server.kill()
    shutil.rmtree(fleet.server.folder / "appendonlydir")
    shutil.copytree(before / "appendonlydir", fleet.server.folder / "appendonlydir")
    fleet.server.start()
    assert invocation.status == "Running"

    assert told(fleet, invocation) == {ENDED}
    assert fleet.starts_of(invocation) == 2


def test_empty_broker_is_taken_as_it_is(fleet: Fleet) -> None:
    """A restart with an empty data set in mid-command: nothing falls over, enrolled again, the next command works."""
    invocation = fleet.run(WORK, *HOSTS)
    wait_until(lambda: fleet.starts_of(invocation) == 2, 20, "two starts")

    enrolled = list(fleet.store.hosts.all())

    fleet.server.kill()
    shutil.rmtree(fleet.server.folder / "appendonlydir")
    fleet.server.start()
    fleet.store.hosts.save(enrolled)
    fleet.wait_online(*HOSTS)

    fleet.works()
    wait_ended_on_hosts(fleet, invocation)
    assert fleet.dispatcher.dead_reports() == []
    fleet.works()


def test_flushed_broker_is_taken_as_it_is(fleet: Fleet) -> None:
    """FLUSHALL in mid-command, with no connection lost: once enrolled again, the next heartbeats make hosts known."""
    invocation = fleet.run(WORK, *HOSTS)
    wait_until(lambda: fleet.starts_of(invocation) == 2, 20, "two starts")

    enrolled = list(fleet.store.hosts.all())

    with fleet.server.client() as client:
        client.flushall()
        client.script_flush()
    fleet.store.hosts.save(enrolled)
    fleet.wait_online(*HOSTS)

    fleet.works()
    wait_ended_on_hosts(fleet, invocation)
    fleet.works()


def test_cut_connections_cost_nothing(fleet: Fleet) -> None:
    """CLIENT KILL of everybody, several times in mid-command: the outcome arrives, nothing runs twice."""
    invocation = fleet.run(WORK, *HOSTS)
    wait_until(lambda: fleet.starts_of(invocation) == 2, 20, "two starts")
    with fleet.server.client() as client:
        for _ in range(3):
            client.client_kill_filter(_type="normal", skipme=True)
            fleet.wait_online(*HOSTS)

    assert told(fleet, invocation) == {ENDED}
    assert fleet.starts_of(invocation) == 2
    fleet.works()


def test_broker_restarts_in_quick_succession(fleet: Fleet) -> None:
    """Three restarts, by kill and in good order, while a command runs and others are asked for in between."""
    invocations = [fleet.run(WORK, *HOSTS)]
    wait_until(lambda: fleet.starts_of(invocations[0]) == 2, 20, "two starts")
    for end in (fleet.server.kill, fleet.server.stop, fleet.server.kill):
        end()
        fleet.server.start()
        wait_until(lambda: add(fleet, invocations), 10, "a call that the server takes")

    for invocation in invocations:
        assert told(fleet, invocation) == {ENDED}
        assert fleet.starts_of(invocation) == 2


def add(fleet: Fleet, invocations: list) -> bool:
    """Ask for one more command; a connection that the restart has cut refuses once."""
    try:
        invocations.append(fleet.run(WORK, *HOSTS))
    except ServerUnavailableError:
        return False
    return True


def test_full_broker_ends_nobody(fleet: Fleet) -> None:
    """A server that refuses writes for want of memory: outcomes wait on the hosts and arrive when there is room."""
    invocation = fleet.run(WORK, *HOSTS)
    wait_until(lambda: fleet.starts_of(invocation) == 2, 20, "two starts")
    with fleet.server.client() as client:
        client.config_set("maxmemory", "1")
        wait_ended_on_hosts(fleet, invocation)
        spend(1)
        client.config_set("maxmemory", "0")

    assert told(fleet, invocation) == {ENDED}
    assert fleet.starts_of(invocation) == 2
    assert all(worker.is_running for worker in fleet.workers.values())
    fleet.works()
