"""Hosts whose wall clock is wrong, or jumps: deadlines and times are the control plane's all the same."""

import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet import Fleet, FleetFactory, spend
from processes import clean_environment
from waiting import wait_until
from wrong_clock import WrongClock

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None, reason="the wrong clock is a library that gcc has to build"
)

TEN_MINUTES_MS = 600_000


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    """A clock that is still right."""
    return WrongClock(tmp_path)


def now() -> datetime:
    """Return this machine's own time, which is also the server's."""
    return datetime.now(UTC)


def test_clock_of_a_program_is_wrong(clock: WrongClock) -> None:
    """What the other tests of this file stand on."""
    clock.set(-TEN_MINUTES_MS)

    run = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=clean_environment(**clock.environ),
        capture_output=True,
        check=True,
    )

    assert abs(float(run.stdout) - (now() - timedelta(minutes=10)).timestamp()) < 5


@pytest.mark.parametrize("offset_ms", [-TEN_MINUTES_MS, TEN_MINUTES_MS])
def test_wrong_wall_clock_changes_nothing(make_fleet: FleetFactory, clock: WrongClock, offset_ms: int) -> None:
    """A host ten minutes slow or fast takes orders, starts none late, and tells the server's time."""
    fleet = make_fleet(delivery_window_s=2)
    clock.set(offset_ms)
    fleet.started("host-1", environ=clock.environ)
    asked = now()

    result = fleet.outcome(fleet.run("sleep 0.2; exit 5"))

    assert (result.invocation_status, result.exit_code) == ("Failed", 5)
    assert asked - timedelta(seconds=1) < result.start_time <= result.finished_time < now() + timedelta(seconds=1)
    assert_refuses_late_orders(fleet)


def assert_refuses_late_orders(fleet: Fleet) -> None:
    """Freeze the worker past the window of an order that it then finds in its queue."""
    fleet.workers["host-1"].send(signal.SIGSTOP)
    late = fleet.run("")
    assert fleet.outcome(late).presumed
    fleet.workers["host-1"].send(signal.SIGCONT)
    wait_until(lambda: not fleet.result(late).presumed, 15, "the host's own word")
    assert fleet.result(late).error_code == "DeliveryTimeout"
    assert fleet.starts_of(late) == 0
    fleet.works()


def test_wall_clock_that_jumps_moves_no_deadline(make_fleet: FleetFactory, clock: WrongClock) -> None:
    """An hour forth and two back in mid-command: no timeout too early, none missed, the times stay the server's."""
    fleet = make_fleet().started("host-1", environ=clock.environ, heartbeat_interval_s=60)
    lasting, hanging = fleet.run("sleep 1.5; exit 5", timeout_s=60), fleet.run("sleep 300", timeout_s=3)
    asked = now()
    fleet.wait_started(lasting)
    fleet.wait_started(hanging)

    clock.set(3_600_000)
    spend(0.3)
    clock.set(-3_600_000)

    first, second = fleet.outcome(lasting), fleet.outcome(hanging)
    assert (first.invocation_status, first.exit_code) == ("Failed", 5)
    assert second.invocation_status == "Timeout"
    for result in (first, second):
        assert asked - timedelta(seconds=1) < result.start_time <= result.finished_time < now() + timedelta(seconds=1)
    assert (second.finished_time - second.start_time).total_seconds() == pytest.approx(3, abs=0.5)
    fleet.works()


def test_wrong_clock_across_a_restart(make_fleet: FleetFactory, clock: WrongClock) -> None:
    """A worker that starts with a wrong clock judges nothing in its journal by it before it was told the time."""
    fleet = make_fleet(delivery_window_s=20).started("host-1", concurrency=1)
    running, waiting = fleet.run("sleep 1; exit 5"), fleet.run("exit 6")
    wait_until(lambda: fleet.entry(waiting).is_dir() and fleet.entry(running).is_dir(), 10, "both in the journal")
    fleet.wait_started(running)
    fleet.workers["host-1"].kill()
    clock.set(TEN_MINUTES_MS)

    fleet.worker("host-1", environ=clock.environ, concurrency=1)

    assert fleet.outcome(running).exit_code == 5
    assert fleet.outcome(waiting).exit_code == 6
    assert (fleet.starts_of(running), fleet.starts_of(waiting)) == (1, 1)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Nonsense/Zone"])
def test_odd_time_zone_changes_nothing(fleet: Fleet, zone: str) -> None:
    """Times are UTC whatever TZ says; the heartbeat tells the zone as it is."""
    fleet.started("host-1", environ={"TZ": zone})

    result = fleet.outcome(fleet.run("exit 5"))

    assert result.exit_code == 5
    assert abs(now() - result.finished_time) < timedelta(seconds=10)
    (instance,) = fleet.dispatcher.describe_instances().items
    assert instance.time_zone == zone
