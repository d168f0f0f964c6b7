"""A host whose disk is full: it answers, it does not loop, and it works again once there is room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import Fleet, FleetFactory
from waiting import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")

SIZE_KB = 512


class SmallDisk:
    """A file system of its own for a host's journal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.filler = path / "filler"

    def fill(self) -> None:
        """Leave no byte."""
        with self.filler.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        """Give all room back."""
        self.filler.unlink()


@pytest.fixture
def fleet(make_fleet: FleetFactory) -> Fleet:
    """A control plane without hosts."""
    return make_fleet(delivery_window_s=10)


@pytest.fixture
def disk(fleet: Fleet) -> Iterator[SmallDisk]:
    """A disk of half a megabyte under the state directory of host-1."""
    path = fleet.state_dir("host-1")
    path.mkdir(parents=True)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k", "fleethand-test", str(path)],
        capture_output=True,
        check=False,
    )
    if mount.returncode:
        pytest.skip(f"cannot mount here: {mount.stderr.decode().strip()}")
    try:
        fleet.started("host-1")
        yield SmallDisk(path)
    finally:
        fleet.programs.kill_all()
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_order_on_a_full_disk_is_refused_with_the_reason(fleet: Fleet, disk: SmallDisk) -> None:
    """What cannot be written down is not run: Error, said at once, said again to a copy; then all is well again."""
    disk.fill()

    invocation = fleet.run("")
    result = fleet.outcome(invocation)

    assert (result.invocation_status, result.error_code) == ("Error", "ExecutionException")
    assert "No space left on device" in result.error_info
    fleet.deliver(invocation, "host-1", times=3)
    disk.free()
    fleet.works()
    assert fleet.starts_of(invocation) == 0
    assert len(fleet.workers["host-1"].output().splitlines()) < 50


def test_disk_that_fills_in_mid_command_costs_output_at_most(fleet: Fleet, disk: SmallDisk) -> None:
    """The room for a result was taken at the start: status and exit code arrive, the output is counted as dropped."""
    invocation = fleet.run("sleep 0.5; seq 1 4000; exit 5")
    fleet.wait_started(invocation)
    disk.fill()

    result = fleet.outcome(invocation)

    assert (result.invocation_status, result.exit_code, fleet.starts_of(invocation)) == ("Failed", 5, 1)
    assert len(result.output) + result.dropped == sum(len(str(number)) + 1 for number in range(1, 4001))
    disk.free()
    fleet.works()


def test_host_starts_and_answers_with_a_full_disk(fleet: Fleet, disk: SmallDisk) -> None:
    """A worker that is restarted on a full disk knows what it did, and says that it can do no more."""
    ended = fleet.run("exit 5")
    fleet.outcome(ended)
    disk.fill()
    fleet.workers["host-1"].kill()
    fleet.worker()
    fleet.wait_online("host-1")

    fleet.deliver(ended, "host-1")
    refused = fleet.outcome(fleet.run(""))

    assert (refused.invocation_status, refused.error_code) == ("Error", "ExecutionException")
    assert (fleet.starts_of(ended), fleet.result(ended).exit_code) == (1, 5)
    disk.free()
    fleet.works()


def test_waiting_executions_survive_a_full_disk(fleet: Fleet, disk: SmallDisk) -> None:
    """What is in the journal already is carried through; the disk may be full when its turn comes."""
    fleet.workers["host-1"].stop()
    fleet.worker(concurrency=1)
    fleet.wait_online("host-1")
    first, second = fleet.run("sleep 1; exit 5"), fleet.run("echo next; exit 6")
    fleet.wait_started(first)
    wait_until(fleet.entry(second).is_dir, 10, "the second order in the journal")
    wait_until(lambda: fleet.store.invocations.row(second.invoke_id, "host-1").accepted_at, 10, "the order accepted")
    disk.fill()

    assert fleet.outcome(first).exit_code == 5
    result = fleet.outcome(second)
    assert (result.invocation_status, result.exit_code, fleet.starts_of(second)) == ("Failed", 6, 1)
    disk.free()
    fleet.works()
