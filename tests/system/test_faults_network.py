"""A cable that is pulled and nobody is told: half-open connections are noticed, nothing is lost or run twice."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cuttable import Cable, cable
from fleet import DURABLE, Fleet, FleetFactory, spend
from waiting import wait_until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="only root may make network namespaces"
)


@pytest.fixture
def wire() -> Iterator[Cable]:
    """A cable."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(cable())
        except OSError as error:
            pytest.skip(f"cannot make a network namespace here: {error}")
        yield made


@pytest.fixture
def fleet(make_fleet: FleetFactory, wire: Cable) -> Fleet:
    """A control plane that can be reached at the cable's end; nobody is judged as silent."""
    bind = ("--bind", "127.0.0.1", wire.address, "--protected-mode", "no")
    fleet = make_fleet(arguments=(*DURABLE, *bind), lease_s=60)
    fleet.aggregator()
    return fleet


def start_host(fleet: Fleet, wire: Cable, **settings: object) -> None:
    """Start host-1 behind the cable."""
    url = fleet.server.url.replace("127.0.0.1", wire.address)
    fleet.worker("host-1", prefix=wire.inside, redis_url=url, **settings)
    fleet.wait_online("host-1")


def test_outcome_arrives_after_the_cable_was_pulled(fleet: Fleet, wire: Cable) -> None:
    """Pulled in mid-command for longer than the timeouts of the sockets; the command ends meanwhile."""
    start_host(fleet, wire)
    invocation = fleet.run("echo one; sleep 1; exit 7")
    fleet.wait_started(invocation)
    wait_until(lambda: invocation.status == "Running", 10, "Running")

    wire.pull()
    fleet.workers["host-1"].wait_for_output("event=line_lost", 15)
    wait_until((fleet.entry(invocation) / "result.json").exists, 10, "the result in the journal")
    spend(4)
    assert invocation.status == "Running"
    wire.plug()

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.exit_code, result.output) == ("Failed", 7, "one\n")
    assert fleet.starts_of(invocation) == 1
    fleet.works()


@pytest.mark.parametrize("in_time", [True, False])
def test_order_sent_while_the_cable_is_pulled(fleet: Fleet, wire: Cable, in_time: bool) -> None:
    """The server hands it to a connection that is dead; it is sent again in its window, or Aborted and never run."""
    start_host(fleet, wire)
    wire.pull()
    invocation = fleet.run("echo ran", deliver_within_s=30 if in_time else 3)
    fleet.workers["host-1"].wait_for_output("event=line_lost", 15)
    if not in_time:
        assert fleet.outcome(invocation, 15).presumed
    wire.plug()
    fleet.wait_online("host-1")

    fleet.works()
    result = fleet.outcome(invocation)
    if in_time:
        assert (result.invocation_status, result.output, fleet.starts_of(invocation)) == ("Success", "ran\n", 1)
    else:
        assert (result.invocation_status, fleet.starts_of(invocation)) == ("Aborted", 0)
        assert result.error_code in ("DeliveryTimeout", "ClientNotOnline")


def test_stop_sent_while_the_cable_is_pulled(fleet: Fleet, wire: Cable) -> None:
    """A stop is sent until the host confirms it."""
    start_host(fleet, wire)
    invocation = fleet.run("sleep 300")
    fleet.wait_started(invocation)
    wait_until(lambda: invocation.status == "Running", 10, "Running")
    wire.pull()
    invocation.stop()
    fleet.workers["host-1"].wait_for_output("event=line_lost", 15)
    wire.plug()

    assert fleet.outcome(invocation).invocation_status == "Terminated"
    fleet.wait_gone(invocation)


@pytest.mark.slow
def test_half_open_connection_of_an_idle_host_is_noticed_in_half_a_minute(fleet: Fleet, wire: Cable) -> None:
    """With the settings as they are: pulled right after a heartbeat, when nothing else is going on."""
    start_host(fleet, wire, heartbeat_interval_s=30, reconnect_jitter_s=5)
    wire.pull()
    began = time.monotonic()

    output = fleet.workers["host-1"].wait_for_output("lost", 60)

    assert "event=line_lost" in output or "event=disconnected" in output
    assert time.monotonic() - began <= 31
