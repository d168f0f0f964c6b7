"""Schedules with real beats and real workers; where time is faked, it is the server's, which is everyone's."""

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet import Fleet, running_fleet, seeded, spend
from fleethand_common.clock import elapsed_s
from fleethand_dispatcher.invocation import Invocation
from fleethand_dispatcher.lease import Lease
from processes import Program
from waiting import wait_until
from wrong_clock import WrongClock

needs_gcc = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None,
    reason="gcc has to build the server's clock",
)

FAIL_OVER_S = 5.0
EVERY_TEN_SECONDS = "0/10 * * * * ? * UTC"


class TimeMachine:
    """A fleet whose server's clock can be set, and that of the beat's machine, which signs for no time far from it."""

    def __init__(self, fleet: Fleet, clock: WrongClock) -> None:
        self.fleet = fleet
        self.clock = clock

    def now(self) -> datetime:
        """Return the server's time."""
        return datetime.fromtimestamp(self.fleet.store.now_ms() / 1000, UTC)

    def beat(self) -> Program:
        """Start a beat on a machine whose clock goes with the server's."""
        return self.fleet.beat(environ=self.clock.environ)

    def jump(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self.clock.set(self.clock.offset_ms + int(seconds * 1000))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[TimeMachine]:
    """A fleet with a server whose clock is right, so far."""
    clock = WrongClock(tmp_path)
    with running_fleet(tmp_path / "fleet", arguments=(), environ=clock.environ) as fleet:
        yield TimeMachine(fleet, clock)


def at(moment: datetime) -> str:
    """Return the frequency of one run."""
    return f"at({moment:%Y-%m-%d %H:%M:%S})"


def ran(fleet: Fleet, invocation: Invocation) -> list[str]:
    """Return the runs of a schedule that a script noted, in order, each as often as it ran."""
    lines = [line.split()[0] for line in fleet.ledger.read_text().splitlines()]
    return [run_id for run_id in lines if run_id.startswith(f"{invocation.invoke_id}.")]


def leader(beats: list[Program], lease: Lease) -> Program:
    """Return the beat that works, once one does."""

    def found() -> Program | None:
        holder = lease.holder()
        pid = int(holder.name.split("-")[-2]) if holder else 0
        return next((beat for beat in beats if beat.pid == pid and beat.is_running), None)

    return wait_until(found, 20, "a beat that works")


def test_cron_runs_again_and_again_until_it_is_stopped(fleet: Fleet) -> None:
    """Twice by the real clock: on time, counted, with its output in the row; then no more."""
    fleet.started("host-1")
    fleet.beat()
    invocation = fleet.run("echo run", frequency=EVERY_TEN_SECONDS, timeout_s=5)

    wait_until(lambda: fleet.result(invocation).repeats == 2 and invocation.status == "Scheduled", 40, "two runs")
    invocation.stop()

    runs = invocation.runs()
    assert ran(fleet, invocation) == [run.run_id for run in reversed(runs)]
    assert all((run.fired_time - run.due_time).total_seconds() < 1 for run in runs)
    assert (fleet.result(invocation).invocation_status, fleet.result(invocation).output) == ("Stopped", "run\n")


@needs_gcc
def test_rate_runs_on_its_grid_through_jumps_of_the_clock(machine: TimeMachine) -> None:
    """Forward it goes on without making up for what was jumped over; back it repeats nothing."""
    fleet = machine.fleet.started("host-1")
    machine.beat()
    invocation = fleet.run("echo run", frequency="rate(1h)", timeout_s=5)
    first = invocation.record().creation_time.replace(microsecond=0) + timedelta(hours=1)

    machine.jump((first - machine.now()).total_seconds() - 1)
    wait_until(lambda: fleet.result(invocation).repeats == 1, 20, "the first run")
    machine.jump(-1800)
    fleet.wait_online("host-1")
    machine.jump(1800)
    fleet.wait_online("host-1")
    machine.jump(5 * 3600 - 5)
    wait_until(lambda: fleet.result(invocation).repeats == 2, 20, "the second run")

    fired = [run for run in invocation.runs() if run.outcome == "fired"]
    assert [run.due_time for run in reversed(fired)] == [first, first + timedelta(hours=5)]
    assert sum(run.outcome == "missed" for run in invocation.runs()) == 4
    assert len(ran(fleet, invocation)) == 2


def test_spare_fires_the_next_run_within_five_seconds_of_the_leaders_death(fleet: Fleet) -> None:
    """kill -9 a moment before a run is due: the spare fires that very run, and nobody fires it twice."""
    fleet.started("host-1")
    lease = Lease(fleet.store.client)
    beats = [fleet.beat("first"), fleet.beat("second")]
    for beat in beats:
        beat.wait_for_output("beat: Starting")
    first = leader(beats, lease)
    due = datetime.fromtimestamp(fleet.store.now_ms() // 1000 + 3, UTC)
    invocation = fleet.run("echo run", frequency=at(due), timeout_s=5)
    wait_until(lambda: fleet.store.now_ms() / 1000 > due.timestamp() - 0.3, 10, "the moment before")

    first.kill()
    killed_s = elapsed_s()
    wait_until(lambda: ran(fleet, invocation), 20, "the run")
    took_s = elapsed_s() - killed_s

    assert invocation.wait(20).invocation_status == "Success"
    assert len(ran(fleet, invocation)) == 1
    assert took_s < FAIL_OVER_S


def test_schedule_outlives_a_restart_of_the_server(fleet: Fleet) -> None:
    """kill -9 of the server, which keeps what it has on disk: the schedule is there and fires."""
    fleet.started("host-1")
    beat = fleet.beat()
    due = datetime.fromtimestamp(fleet.store.now_ms() // 1000 + 8, UTC)
    invocation = fleet.run("echo run", frequency=at(due), timeout_s=5)

    fleet.server.kill()
    beat.wait_for_output("trying again every second")
    fleet.server.start()

    wait_until(lambda: ran(fleet, invocation), 30, "the run")
    assert invocation.wait(20).invocation_status == "Success"
    assert len(ran(fleet, invocation)) == 1


def test_run_that_the_server_lost_with_its_last_writes_is_there_again_and_ran_once(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Power is cut a moment after a run, and the disk has what was before it: the host answers, and does not run it."""
    fleet.started("host-1")
    beat = fleet.beat()
    marks = tmp_path / "marks"
    due = datetime.fromtimestamp(fleet.store.now_ms() // 1000 + 4, UTC)
    invocation = fleet.run(f"echo x >>{marks}; echo done", frequency=at(due), timeout_s=5)
    disk, kept = fleet.server.folder / "appendonlydir", tmp_path / "kept"
    shutil.copytree(disk, kept)
    assert invocation.wait(30).invocation_status == "Success"

    fleet.server.kill()
    shutil.rmtree(disk)
    shutil.copytree(kept, disk)
    fleet.server.start()

    beat.wait_for_output("deciding again")
    assert invocation.wait(30).invocation_status == "Success"
    assert [result.output for result in invocation.results()] == ["done\n"]
    assert len(ran(fleet, invocation)) == 1
    assert marks.read_text() == "x\n"


def test_stop_during_a_run_kills_what_runs(fleet: Fleet) -> None:
    """The script dies with its children, the row is Terminated, and nothing fires any more."""
    fleet.started("host-1")
    fleet.beat()
    invocation = fleet.run("sleep 60", frequency=EVERY_TEN_SECONDS, timeout_s=10)
    wait_until(lambda: ran(fleet, invocation), 20, "the run")
    (run_id,) = ran(fleet, invocation)

    invocation.stop()

    assert invocation.wait(20).invocation_status == "Stopped"
    assert fleet.result(invocation).invocation_status == "Terminated"
    fleet.wait_gone(run_id)


@needs_gcc
def test_host_that_was_offline_at_a_run_takes_part_in_the_next(machine: TimeMachine) -> None:
    """That run is Aborted for it; the schedule goes on."""
    fleet = machine.fleet.started("host-1", "host-2")
    machine.beat()
    invocation = fleet.run("echo run", "host-1", "host-2", frequency="rate(1h)", timeout_s=5)
    created = invocation.record().creation_time.replace(microsecond=0)
    fleet.workers["host-2"].stop()

    machine.jump((created + timedelta(hours=1) - machine.now()).total_seconds())
    wait_until(lambda: fleet.result(invocation).repeats == 1, 20, "the run on the host that is there")
    machine.jump(90)
    wait_until(lambda: fleet.result(invocation, "host-2").error_code == "ClientNotOnline", 20, "Aborted")
    fleet.worker("host-2")
    fleet.wait_online("host-1", "host-2")
    machine.jump((created + timedelta(hours=2) - machine.now()).total_seconds())
    wait_until(lambda: fleet.result(invocation, "host-2").repeats == 1, 20, "the next run there")
    wait_until(lambda: fleet.result(invocation).repeats == 2, 20, "the next run where the first was, too")

    assert len(ran(fleet, invocation)) == 3


@needs_gcc
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_thousand_firings_run_exactly_once_through_fifty_deaths_of_the_leader(machine: TimeMachine) -> None:
    """kill -9 at any moment of a firing; the clock jumps over the rest of each lease, or it would take minutes."""
    chance = seeded()
    fleet = machine.fleet.started("host-1", "host-2", concurrency=4)
    lease = Lease(fleet.store.client)
    begin = machine.now().replace(microsecond=0) + timedelta(seconds=60)
    schedules = [
        fleet.run("", f"host-{1 + number % 2}", frequency=at(begin + timedelta(seconds=number // 5)), timeout_s=5)
        for number in range(1000)
    ]
    beats = [fleet.beat(f"beat-{number}") for number in range(3)]
    leader(beats, lease)
    machine.jump((begin - machine.now()).total_seconds() - 1)

    for number in range(50):
        working = leader(beats, lease)
        machine.jump(1)
        spend(chance.uniform(0, 0.05))
        working.kill()
        beats = [*(beat for beat in beats if beat is not working), fleet.beat(f"beat-{number + 3}")]
        machine.jump(3)

    def finished() -> bool:
        return not fleet.store.client.exists("fleethand:due") and not fleet.store.invocations.unfinished()

    wait_until(finished, 60, "the end of all schedules")
    starts = fleet.starts()
    assert len(starts) == 1000
    assert set(starts.values()) == {1}
    assert {run_id.partition(".")[0] for run_id, _ in starts} == {made.invoke_id for made in schedules}
    assert not [made.invoke_id for made in schedules if made.status != "Success"]
    holder = lease.holder()
    assert holder is not None
    assert holder.epoch > 50, "each death was a leader's"
