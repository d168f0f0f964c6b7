"""What survives: the worker's death, a supervisor's, the server's, a full disk, a dead line."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from fleethand_common.messages import Accepted, Finished, Heartbeat, Started
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.keyring import Keyring
from fleethand_worker.journal import Journal
from processes import Program, Programs
from servers import Server
from unit.worker.control_line import ControlLine, now_ms, retrying
from waiting import wait_until

StartWorker = Callable[..., Program]


@pytest.fixture
def line(redis_client: "redis.Redis[str]", keyring: Keyring) -> ControlLine:
    """Return the line to host-1."""
    return ControlLine(redis_client, keyring)


def supervisor_of(programs: Programs, invocation_id: str) -> psutil.Process:
    """Return the process that supervises an execution of host-1."""
    entry = Journal(programs.folder / "state" / "host-1", "").entry(invocation_id)
    return psutil.Process(wait_until(entry.state, 5, "the supervisor's state").pid)


def test_command_goes_on_when_the_worker_is_killed(
    worker_process: StartWorker, line: ControlLine, tmp_path: Path, programs: Programs
) -> None:
    """It ends without a worker, is not run again, and its outcome arrives."""
    worker = worker_process()
    target = tmp_path / "runs"
    order = line.order("t-on", f"echo run >> {target}; while [ ! -e {target}.go ]; do sleep 0.05; done; echo done")
    line.wait_for(Started, "t-on")
    supervisor = supervisor_of(programs, "t-on")
    worker.kill()
    Path(f"{target}.go").touch()
    psutil.wait_procs([supervisor], timeout=10)
    line.again(order)
    worker_process()
    outcome = line.outcome("t-on")
    assert (outcome.status, outcome.output) == (InstanceStatus.SUCCESS, "done\n")
    assert target.read_text() == "run\n"


def test_worker_follows_a_command_when_it_was_restarted_meanwhile(
    worker_process: StartWorker, line: ControlLine
) -> None:
    """A re-attached command counts as running, sends output, and can be stopped."""
    worker = worker_process()
    line.order("t-follow", "sleep 60")
    line.wait_for(Started, "t-follow")
    worker.kill()
    worker_process(concurrency=1)
    hello = line.wait_for_hello(count=2)
    assert hello.running == ["t-follow"]
    line.order("t-next", "echo next")
    line.wait_for(Accepted, "t-next")
    line.stop("t-follow")
    assert line.outcome("t-follow").status is InstanceStatus.TERMINATED
    assert line.outcome("t-next").output == "next\n"


def test_worker_leaves_at_once_when_it_is_told_to(worker_process: StartWorker, line: ControlLine) -> None:
    """SIGTERM does not wait for the poll nor for commands; what runs goes on, what waits is started by the next."""
    worker = worker_process(concurrency=1)
    line.order("t-runs", "sleep 1; echo ran")
    line.wait_for(Started, "t-runs")
    line.order("t-waits", "echo waited")
    line.wait_for(Accepted, "t-waits")
    began = now_ms()
    assert worker.stop() == 0
    assert now_ms() - began < 2000
    line.order("t-later", "echo later")
    assert line.client.llen(line.orders_queue) == 1
    worker_process()
    for name, output in {"t-runs": "ran\n", "t-waits": "waited\n", "t-later": "later\n"}.items():
        assert line.outcome(name).output == output


def test_waiting_order_is_aborted_when_the_restart_came_too_late(
    worker_process: StartWorker, line: ControlLine
) -> None:
    """What was claimed and not started is not started past its time."""
    worker = worker_process(concurrency=1)
    line.order("t-runs", "sleep 60")
    line.wait_for(Started, "t-runs")
    order = line.order("t-waits", "echo never", deliver_before_ms=now_ms() + 700)
    line.wait_for(Accepted, "t-waits")
    worker.kill()
    wait_until(lambda: now_ms() > order.deliver_before_ms, 5, "the deadline")
    worker_process(concurrency=2)
    assert line.outcome("t-waits").status is InstanceStatus.ABORTED


def test_outcome_is_an_error_when_the_supervisor_was_killed(
    worker_process: StartWorker, line: ControlLine, programs: Programs
) -> None:
    """ExecutionInterrupted, and what it left is killed too; ClientRestarted if no worker saw it."""
    worker = worker_process()
    line.order("t-orphan", "echo $$; setsid sleep 7541 & wait")
    line.wait_for(Started, "t-orphan")
    supervisor = supervisor_of(programs, "t-orphan")
    wait_until(lambda: len(supervisor.children(recursive=True)) >= 2, 5, "its processes")
    children = supervisor.children(recursive=True)
    supervisor.kill()
    outcome = line.outcome("t-orphan")
    assert (outcome.status, outcome.error_code) == (InstanceStatus.ERROR, "ExecutionInterrupted")
    psutil.wait_procs(children, timeout=5)
    assert not [child for child in children if child.is_running()]
    line.order("t-unseen", "sleep 60")
    line.wait_for(Started, "t-unseen")
    supervisor = supervisor_of(programs, "t-unseen")
    worker.kill()
    supervisor.kill()
    psutil.wait_procs([supervisor], timeout=5)
    worker_process()
    outcome = line.outcome("t-unseen")
    assert (outcome.status, outcome.error_code) == (InstanceStatus.ERROR, "ClientRestarted")


def test_outcome_is_an_error_when_somebody_terminates_the_supervisor(
    worker_process: StartWorker, line: ControlLine, programs: Programs
) -> None:
    """SIGTERM that no stop explains is an interruption, and the script goes with it."""
    worker_process()
    line.order("t-term", "echo here; sleep 60")
    line.wait_for(Started, "t-term")
    supervisor_of(programs, "t-term").send_signal(signal.SIGTERM)
    outcome = line.outcome("t-term")
    assert (outcome.status, outcome.error_code) == (InstanceStatus.ERROR, "ExecutionInterrupted")


def test_commands_go_on_when_the_server_is_restarted(
    worker_process: StartWorker, own_server: Server, keyring: Keyring
) -> None:
    """Outcomes wait on disk; after the reconnect come a hello, what waited, and what was sent just before."""
    worker_process(redis_url=own_server.url, concurrency=1, reconnect_jitter_s=0.5)
    with own_server.client() as client:
        line = ControlLine(client, keyring)
        line.order("t-before", "echo before")
        line.outcome("t-before")
        line.order("t-during", "sleep 0.5; echo during")
        line.wait_for(Started, "t-during")
        line.order("t-waits", "echo waited")
        line.wait_for(Accepted, "t-waits")
        own_server.kill()
        own_server.start()
        retrying(lambda: line.wait_for_hello(count=2), 15)
        assert line.outcome("t-during").output == "during\n"
        assert line.outcome("t-waits").output == "waited\n"
        wait_until(lambda: len(line.of(Finished, "t-before")) >= 2, 5, "the outcome of before, again")
        line.order("t-after", "echo after")
        assert line.outcome("t-after").output == "after\n"


def test_waiting_command_is_started_when_the_server_is_away(
    worker_process: StartWorker, own_server: Server, keyring: Keyring, tmp_path: Path
) -> None:
    """Places are given on while there is no connection."""
    worker_process(redis_url=own_server.url, concurrency=1, reconnect_jitter_s=0.5)
    with own_server.client() as client:
        line = ControlLine(client, keyring)
        line.order("t-runs", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")
        line.wait_for(Started, "t-runs")
        line.order("t-waits", f"touch {tmp_path}/waited")
        line.wait_for(Accepted, "t-waits")
        own_server.kill()
        (tmp_path / "go").touch()
        wait_until((tmp_path / "waited").exists, 10, "the waiting command's file")
        own_server.start()
        assert retrying(lambda: line.outcome("t-waits")).status is InstanceStatus.SUCCESS


def test_second_worker_refuses_when_the_state_directory_is_taken(
    worker_process: StartWorker, line: ControlLine
) -> None:
    """Two workers on one journal would run things twice."""
    worker_process()
    line.wait_for_hello()
    second = worker_process()
    assert second.wait() == 1
    assert "another worker holds it" in second.output()


def test_worker_without_an_identity_does_not_start_and_says_how_to_get_one(programs: Programs, tmp_path: Path) -> None:
    """There is no mode without trust; what is missing is a clear error, not a traceback."""
    folder = tmp_path / "state"
    program = programs.start(Path(sys.executable).parent / "fleethand-worker", "start", "--state-dir", folder)
    assert program.wait() == 1
    assert "fleethand-worker register" in program.output()
    assert "Traceback" not in program.output()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_worker_lives_on_when_the_disk_is_full(
    worker_process: StartWorker, line: ControlLine, small_disk: Path, tmp_path: Path
) -> None:
    """A command that runs is ended in time and reported; one that cannot be journaled is refused; later all is well."""
    worker_process(state_dir=small_disk / "state")
    go = tmp_path / "go"
    line.order("t-runs", f"while [ ! -e {go} ]; do sleep 0.05; done; seq 5000; exit 4")
    line.order("t-late", "sleep 60", timeout_s=2, stop_grace_s=0.1)
    line.wait_for(Started, "t-runs")
    line.wait_for(Started, "t-late")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    go.touch()
    ran = line.outcome("t-runs")
    assert (ran.status, ran.exit_code) == (InstanceStatus.FAILED, 4)
    assert ran.dropped + len(ran.output.encode()) == len("".join(f"{number}\n" for number in range(1, 5001)))
    assert line.outcome("t-late").status is InstanceStatus.TIMEOUT
    order = line.order("t-no", "echo never")
    refused = line.outcome("t-no")
    assert (refused.status, refused.error_code) == (InstanceStatus.ERROR, "ExecutionException")
    assert "No space left" in refused.error_info
    filler.unlink()
    line.again(order)
    wait_until(lambda: len(line.of(Finished, "t-no")) >= 2, 5, "the same answer")
    assert {report.status for report in line.of(Finished, "t-no")} == {InstanceStatus.ERROR}
    line.order("t-yes", "echo fine")
    assert line.outcome("t-yes").output == "fine\n"


def test_worker_beats_when_it_is_idle(worker_process: StartWorker, line: ControlLine) -> None:
    """Heartbeats come by themselves, over two connections in all."""
    worker = worker_process(heartbeat_interval_s=0.3, linger_s=0.5, tags="role=web,site=berlin", name="web one")
    beats = wait_until(
        lambda: len(found := [report for report in line.read() if isinstance(report, Heartbeat)]) >= 4 and found,
        10,
        "four",
    )
    assert [beat.hello for beat in beats[:4]] == [True, False, False, False]
    assert (beats[0].name, beats[0].tags) == ("web one", {"role": "web", "site": "berlin"})
    line.order("t-echo", "echo")
    line.outcome("t-echo")
    wait_until(lambda: psutil.Process(worker.pid).children() == [], 5, "no child left, dead or alive")
    connections = [client for client in line.client.client_list() if client["name"] == "host-1"]
    assert len(connections) == 2
