"""A real worker process, a real server, and a test in the place of the control plane: executions and their ends."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis

from fleethand_common.commands import CommandType, Interpolation, TerminationMode
from fleethand_common.messages import PROTOCOL_VERSION, Accepted, Finished, OutputChunk, Started
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.keyring import Keyring
from processes import Program
from unit.worker.control_line import ControlLine, now_ms
from waiting import wait_until

StartWorker = Callable[..., Program]
needs_root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root may run as others")


@pytest.fixture
def line(redis_client: "redis.Redis[str]", keyring: Keyring) -> ControlLine:
    """Return the line to host-1."""
    return ControlLine(redis_client, keyring)


@pytest.fixture
def host(worker_process: StartWorker, line: ControlLine) -> Program:
    """Return a running worker that has said hello."""
    program = worker_process()
    line.wait_for_hello()
    return program


def with_mark(text: str) -> list[psutil.Process]:
    """Return living processes that have *text* among their arguments."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(
            text in part for part in process.info["cmdline"] or []
        ):
            found.append(process)
    return found


@pytest.mark.usefixtures("host")
def test_worker_reports_start_and_success_when_a_command_exits_zero(line: ControlLine) -> None:
    """One order makes one Started and one Finished, with output and times."""
    order = line.order("t-echo", "echo hi; echo there >&2; sleep 0.1")
    outcome = line.outcome("t-echo")
    started = line.wait_for(Started, "t-echo")
    assert (outcome.status, outcome.exit_code, outcome.output) == (InstanceStatus.SUCCESS, 0, "hi\nthere\n")
    assert order.created_at_ms - 1000 <= started.started_at_ms <= outcome.finished_at_ms
    assert outcome.started_at_ms == started.started_at_ms
    assert line.of(Accepted, "t-echo") == []
    assert line.of(OutputChunk, "t-echo") == []


@pytest.mark.usefixtures("host")
def test_worker_reports_failed_when_a_command_exits_nonzero(line: ControlLine) -> None:
    """The exit code is told; a signal's is 128 and its number, and is named."""
    line.order("t-three", "exit 3")
    line.order("t-killed", "kill -9 $$")
    three, killed = line.outcome("t-three"), line.outcome("t-killed")
    assert (three.status, three.exit_code, three.error_code) == (InstanceStatus.FAILED, 3, "ExitCodeNonzero")
    assert (killed.status, killed.exit_code) == (InstanceStatus.FAILED, 137)
    assert "SIGKILL" in killed.error_info


@pytest.mark.usefixtures("host")
def test_worker_ends_a_command_when_its_time_is_over(line: ControlLine) -> None:
    """Timeout has exit code 1, what was written so far, and ends exactly at its time."""
    line.order("t-late", "echo before; trap '' TERM; sleep 60", timeout_s=1, stop_grace_s=0.2)
    outcome = line.outcome("t-late")
    assert (outcome.status, outcome.error_code, outcome.exit_code) == (InstanceStatus.TIMEOUT, "ExecutionTimeout", 1)
    assert outcome.output == "before\n"
    assert outcome.started_at_ms is not None
    assert outcome.finished_at_ms == outcome.started_at_ms + 1000


@pytest.mark.usefixtures("host")
def test_worker_ends_a_command_when_it_is_stopped(line: ControlLine) -> None:
    """Stopped while it ran is Terminated, with its output."""
    line.order("t-stop", "echo on; sleep 60")
    wait_until(lambda: line.of(OutputChunk, "t-stop"), 5, "its output")
    line.stop("t-stop")
    outcome = line.outcome("t-stop")
    assert (outcome.status, outcome.output) == (InstanceStatus.TERMINATED, "on\n")


def test_worker_cancels_when_what_is_stopped_has_not_started(worker_process: StartWorker, line: ControlLine) -> None:
    """Stopped in the queue, or before the order came at all: Cancelled, and never run."""
    worker_process(concurrency=1)
    line.order("t-first", "sleep 60")
    line.wait_for(Started, "t-first")
    line.order("t-waits", "echo never")
    line.wait_for(Accepted, "t-waits")
    line.stop("t-waits")
    line.stop("t-unknown")
    assert line.outcome("t-waits").status is InstanceStatus.CANCELLED
    assert line.outcome("t-unknown").status is InstanceStatus.CANCELLED
    line.stop("t-first")
    line.outcome("t-first")
    line.order("t-unknown", "echo never")
    wait_until(lambda: len(line.of(Finished, "t-unknown")) == 2, 5, "the second answer")
    assert {report.status for report in line.of(Finished, "t-unknown")} == {InstanceStatus.CANCELLED}
    assert line.of(Started, "t-unknown") == line.of(Started, "t-waits") == []


@pytest.mark.usefixtures("host")
def test_stop_kills_a_hundred_grandchildren_when_they_ignore_it(line: ControlLine) -> None:
    """Whatever came from a script dies with it, also in a session of its own and with no parent."""
    content = """
    trap '' TERM
    for i in $(seq 50); do (sh -c 'trap "" TERM; while :; do sleep 7531; done' &) ; done
    for i in $(seq 50); do
        setsid sh -c 'trap "" TERM; (while :; do sleep 7531; done) & while :; do sleep 7531; done' &
    done
    echo ready; wait; while :; do sleep 7531; done
    """
    line.order("t-tree", content, stop_grace_s=0.3)
    wait_until(lambda: line.of(OutputChunk, "t-tree"), 10, "its output")
    wait_until(lambda: len(with_mark("7531")) >= 150, 10, "a hundred grandchildren")
    line.stop("t-tree")
    outcome = line.outcome("t-tree", 20)
    assert (outcome.status, outcome.error_info) == (InstanceStatus.TERMINATED, "")
    assert with_mark("7531") == []


@pytest.mark.usefixtures("host")
def test_stop_kills_only_the_script_when_the_mode_is_process(line: ControlLine) -> None:
    """Children of the script are left alone if that was ordered."""
    line.order("t-one", "sleep 7532 & echo $!; wait", termination_mode=TerminationMode.PROCESS)
    wait_until(lambda: line.of(OutputChunk, "t-one"), 5, "its output")
    line.stop("t-one")
    outcome = line.outcome("t-one")
    assert outcome.status is InstanceStatus.TERMINATED
    child = psutil.Process(int(outcome.output))
    assert child.is_running()
    child.kill()


@pytest.mark.usefixtures("host")
def test_background_process_survives_when_its_script_ended_well(line: ControlLine) -> None:
    """The script's end is the command's end, even if something keeps its output open."""
    line.order("t-back", "sleep 7533 & echo $!")
    outcome = line.outcome("t-back")
    assert outcome.status is InstanceStatus.SUCCESS
    child = psutil.Process(int(outcome.output))
    assert child.is_running()
    child.kill()


@pytest.mark.usefixtures("host")
def test_output_is_head_and_tail_when_a_command_floods(host: Program, line: ControlLine) -> None:
    """`yes` neither fills memory nor the disk; what lies between is counted."""
    line.order("t-yes", "echo begin; timeout 1 yes; echo end")
    outcome = line.outcome("t-yes")
    assert len(outcome.output.encode()) == 24 * 1024
    assert outcome.output.startswith("begin\ny\n")
    assert outcome.output.endswith("y\nend\n")
    assert outcome.dropped > 1_000_000
    chunks = line.of(OutputChunk, "t-yes")
    assert sum(len(chunk.data) for chunk in chunks) <= 24 * 1024
    assert psutil.Process(host.pid).memory_info().rss < 100 * 1024 * 1024


@pytest.mark.usefixtures("host")
def test_live_output_follows_when_a_command_goes_on(line: ControlLine) -> None:
    """Chunks join without a gap to what the outcome has."""
    line.order("t-live", "for i in 1 2 3 4; do echo line-$i-äöü; sleep 0.4; done")
    outcome = line.outcome("t-live")
    chunks = line.of(OutputChunk, "t-live")
    joined = "".join(chunk.data for chunk in chunks)
    assert len(chunks) >= 2
    assert outcome.output.startswith(joined)
    assert [chunk.offset for chunk in chunks] == [
        len("".join(before.data for before in chunks[:index]).encode()) for index in range(len(chunks))
    ]


@pytest.mark.usefixtures("host")
def test_order_is_answered_not_run_when_it_comes_again(line: ControlLine, tmp_path: Path) -> None:
    """A second copy of an order makes a second report, not a second run."""
    target = tmp_path / "runs"
    order = line.order("t-twice", f"echo run >> {target}")
    line.again(order)
    line.outcome("t-twice")
    line.again(order)
    wait_until(lambda: len(line.of(Finished, "t-twice")) >= 2, 5, "the second answer")
    assert target.read_text() == "run\n"


def test_worker_queues_then_refuses_when_it_has_enough_to_do(worker_process: StartWorker, line: ControlLine) -> None:
    """One runs, two wait, the next is Aborted at once; those that wait run later."""
    worker_process(concurrency=1, queue_limit=2)
    line.order("t-runs", "sleep 60")
    line.wait_for(Started, "t-runs")
    for name in ("t-wait-1", "t-wait-2"):
        line.order(name, "echo ran")
        line.wait_for(Accepted, name)
    line.order("t-short", "echo never")
    refused = line.outcome("t-short")
    assert (refused.status, refused.error_code) == (InstanceStatus.ABORTED, "TaskConcurrencyLimit")
    line.stop("t-runs")
    assert line.outcome("t-wait-1").output == line.outcome("t-wait-2").output == "ran\n"


def test_waiting_order_is_aborted_when_its_time_passed(worker_process: StartWorker, line: ControlLine) -> None:
    """An order that found no place in time is not started later, and one that comes late is not started at all."""
    worker_process(concurrency=1)
    line.order("t-runs", "sleep 1.2")
    line.wait_for(Started, "t-runs")
    line.order("t-waits", "echo never", deliver_before_ms=now_ms() + 600)
    line.order("t-late", "echo never", deliver_before_ms=now_ms() - 1)
    late, waited = line.outcome("t-late"), line.outcome("t-waits")
    assert (late.status, late.error_code) == (InstanceStatus.ABORTED, "DeliveryTimeout")
    assert (waited.status, waited.error_code) == (InstanceStatus.ABORTED, "TaskConcurrencyLimit")
    assert "waited" in waited.error_info


@needs_root
@pytest.mark.usefixtures("host")
def test_script_runs_as_another_user_when_that_is_ordered(line: ControlLine) -> None:
    """It is that user in every way, can read its own script, and nobody else can."""
    content = (
        'id -un; id -gn; echo "$USER $HOME"; umask; cat "$0" | head -c 5; ls -l /proc/self/fd/ > /dev/null && echo ok'
    )
    line.order("t-user", content, username="nobody", working_dir="/")
    outcome = line.outcome("t-user")
    assert outcome.status is InstanceStatus.SUCCESS, outcome
    assert outcome.output.splitlines()[:4] == ["nobody", "nogroup", "nobody /nonexistent", "0022"]
    assert outcome.output.endswith("id -uok\n")


@pytest.mark.usefixtures("host")
def test_order_is_invalid_when_this_host_cannot_run_it(line: ControlLine) -> None:
    """Each reason has its own code, and none counts as started."""
    cases = {
        "AccountNotExists": {"username": "no-such-user"},
        "DirectoryNotExists": {"working_dir": "/no/such/folder"},
        "CommandNotApplicable": {"command_type": CommandType.BAT},
        "InvalidSystemBuiltInParameter": {"content": "echo {{ACS::Nothing}}", "enable_parameter": True},
        "InvalidCommandText": {"content": "#!/no/such/interpreter\n"},
    }
    for code, fields in cases.items():
        line.order(f"t-{code}", fields.pop("content", "echo"), **fields)
    for code in cases:
        outcome = line.outcome(f"t-{code}")
        assert (outcome.status, outcome.error_code) == (InstanceStatus.INVALID, code)
        assert outcome.started_at_ms is None
        assert line.of(Started, f"t-{code}") == []


@pytest.mark.usefixtures("host")
def test_script_sees_a_clean_environment_when_it_starts(line: ControlLine) -> None:
    """Nothing of the worker's own but its language; parameters and ids where they belong."""
    line.order(
        "t-env", 'env; echo "$0={{key}} {{ACS::InstanceId}}"', enable_parameter=True, parameters={"key": "a$(id)b"},
        interpolation=Interpolation.ENV,
    )  # fmt: skip
    output = line.outcome("t-env").output
    names = {text.split("=")[0] for text in output.splitlines()[:-1]}
    assert names <= {
        "PATH", "LANG", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "_",
        "FLEETHAND_INVOCATION_ID", "FLEETHAND_INSTANCE_ID", "FLEETHAND_COMMAND_ID", "FLEETHAND_PARAM_KEY",
    }  # fmt: skip
    assert output.splitlines()[-1].endswith("=a$(id)b host-1")


@pytest.mark.usefixtures("host")
def test_shebang_is_honoured_when_its_line_ends_as_on_windows(line: ControlLine) -> None:
    """An interpreter is found in spite of CR LF."""
    line.order("t-python", "#!/usr/bin/env python3\r\nprint('from python')\r\n")
    assert line.outcome("t-python").output == "from python\n"


@pytest.mark.usefixtures("host")
def test_worker_asks_for_an_upgrade_when_an_order_is_newer(line: ControlLine) -> None:
    """An order of a later protocol is answered even if it holds what this worker does not know."""
    line.order("t-newer", "echo", version=PROTOCOL_VERSION + 1)
    outcome = line.outcome("t-newer")
    assert (outcome.status, outcome.error_code) == (InstanceStatus.ABORTED, "ClientNeedUpgrade")
