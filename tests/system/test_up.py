"""`fleethand up`, `down`, `status` and `demo`, as an operator uses them."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from fleethand_common.clock import elapsed_s
from fleethand_dispatcher.stack.data_dir import DataDir, resolve_redis_url
from processes import BIN, MARK, Programs, clean_environment
from waiting import wait_until

UP_S = 60


class Machine:
    """One machine to try the commands on: a data folder, and all that was started for it."""

    def __init__(self, data: Path, programs: Programs) -> None:
        self.data = data
        self.programs = programs

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run `fleethand` with pipes; it returns only if nothing that it started keeps them open."""
        command = [BIN / "fleethand", *arguments]
        environment = clean_environment(**{MARK: self.programs.mark, "FLEETHAND_DATA": str(self.data), **environ})
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=UP_S, check=False)

    def up(self, *arguments: str) -> dict[str, Any]:
        """Start a stack; it must work."""
        done = self.run("up", "--no-dashboard", "--json", *arguments)
        assert 0 == done.returncode, done.stderr
        summary: dict[str, Any] = json.loads(done.stdout)
        return summary

    def status(self) -> dict[str, Any]:
        """Return what `status` prints."""
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def pids(self) -> dict[str, int]:
        """Return the pid of each part."""
        return {part["name"]: part["pid"] for part in self.status()["components"]}

    def left(self) -> list[Sequence[str]]:
        """Return the command lines of everything that runs for this machine."""
        return [process.info["cmdline"] for process in self.processes()]

    def processes(self) -> Iterator[psutil.Process]:
        """Yield everything that runs for this machine."""
        for process in psutil.process_iter(["cmdline", "environ", "status"]):
            ours = (process.info["environ"] or {}).get(MARK) == self.programs.mark
            if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
                yield process


@pytest.fixture
def machine(tmp_path: Path, programs: Programs) -> Iterator[Machine]:
    """A machine with nothing on it."""
    machine = Machine(tmp_path / "data", programs)
    yield machine
    machine.run("down")


def test_up_runs_commands_and_down_leaves_nothing_but_the_data(machine: Machine) -> None:
    """The whole way: up, run, status, down, and up again with what was there."""
    summary = machine.up("--workers", "2")
    ran = machine.run("run", "--all", "--json", "--", "echo hello")
    status = machine.status()
    down = machine.run("down")
    left = machine.left()
    machine.up("--workers", "2")
    again = json.loads(machine.run("invocation", "list", "--json").stdout)

    assert ["local-1", "local-2"] == summary["workers"]
    answer = json.loads(ran.stdout)
    assert "Success" == answer["invocation_status"]
    assert ["hello\n"] * 2 == [instance["output"] for instance in answer["instances"]]
    assert {"keeper", "server", "aggregator", "beat", "local-1", "local-2"} == {p["name"] for p in status["components"]}
    assert {"running"} == {part["state"] for part in status["components"]}
    assert [2, 0, 0] == [status[name] for name in ("instances_online", "orders_open", "reports_waiting")]
    assert 0 == down.returncode
    assert [] == left
    assert answer["invocation_id"] in json.dumps(again)


def test_password_stands_on_no_command_line_and_in_no_message(machine: Machine) -> None:
    """Every user of the machine can read command lines."""
    done = machine.run("up", "--workers", "1")
    passwords = [DataDir(machine.data).password(), urlsplit(resolve_redis_url(machine.data)).password or ""]

    shown = [done.stdout, done.stderr, machine.run("status", "--json").stdout, json.dumps(machine.left())]
    shown += [log.read_text(errors="replace") for log in (machine.data / "log").iterdir()]

    assert 0 == done.returncode
    assert not [text for text in shown if any(password in text for password in passwords)]
    assert len(set(passwords)) == 2


def test_up_again_changes_nothing_and_refuses_another_number_of_workers(machine: Machine) -> None:
    """What runs is not touched by accident."""
    first = machine.up("--workers", "1")
    pids = machine.pids()
    again = machine.run("up", "--json")
    more = machine.run("up", "--workers", "2")

    assert first["already_running"] is False
    assert 0 == again.returncode
    assert json.loads(again.stdout)["already_running"] is True
    assert 1 == more.returncode
    assert "it has 1 workers, not 2" in more.stderr
    assert pids == machine.pids()


def test_what_dies_is_started_again(machine: Machine) -> None:
    """A kill -9 of any part is no end, and commands run afterwards."""
    machine.up("--workers", "1")
    before = machine.pids()
    for name in ("local-1", "aggregator", "beat", "server"):
        os.kill(before[name], signal.SIGKILL)

    def all_run_again() -> bool:
        parts = {part["name"]: part for part in machine.status()["components"]}
        return all(parts[name]["state"] == "running" and parts[name]["restarts"] for name in before if name != "keeper")

    wait_until(all_run_again, 20, "every part again")
    done = machine.run("run", "--all", "--json", "--deliver-within", "60", "--", "echo hello")

    assert "Success" == json.loads(done.stdout)["invocation_status"], done.stderr
    assert before["keeper"] == machine.pids()["keeper"]


@pytest.mark.parametrize("next_command", ["up", "down"])
def test_a_killed_keeper_is_in_nobodys_way(machine: Machine, next_command: str) -> None:
    """What it left is found by its pids and start times, and ended."""
    machine.up("--workers", "1")
    left = machine.pids()
    os.kill(left["keeper"], signal.SIGKILL)
    status = machine.run("status")

    done = machine.run(next_command, *(("--no-dashboard", "--workers", "1") if next_command == "up" else ()))

    assert 1 == status.returncode
    assert "left over" in status.stdout
    assert 0 == done.returncode, done.stderr
    assert not [pid for pid in left.values() if pid in {process.pid for process in machine.processes()}]
    assert bool(machine.left()) is (next_command == "up")


def test_down_ends_what_commands_left_running(machine: Machine) -> None:
    """A command outlives its worker on purpose, but not `down`."""
    machine.up("--workers", "1")
    machine.run("run", "--all", "--detach", "--timeout", "600", "--", "sleep 611 & sleep 612")
    wait_until(lambda: running("sleep 611") and running("sleep 612"), 10, "the command")

    done = machine.run("down")

    assert 0 == done.returncode
    assert [] == machine.left()
    assert not running("sleep 611")
    assert not running("sleep 612")


def running(command: str) -> bool:
    """Tell whether a process with exactly this command line lives."""
    return any(command == " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def test_up_that_fails_shows_the_log_and_leaves_nothing(machine: Machine) -> None:
    """A worker that cannot start ends the start."""
    (machine.data / "workers" / "local-1").mkdir(parents=True)
    (machine.data / "workers" / "local-1" / "hybrid").write_text("in the way")

    done = machine.run("up", "--workers", "1", "--no-dashboard")

    assert 1 == done.returncode
    assert "local-1 ends again and again" in done.stderr
    assert "hybrid" in done.stderr
    assert [] == machine.left()
    assert machine.status()["running"] is False


def test_up_says_which_worker_cannot_be_given_an_identity(machine: Machine) -> None:
    """What lies in the way of its state folder is named."""
    (machine.data / "workers").mkdir(parents=True)
    (machine.data / "workers" / "local-1").write_text("in the way")

    done = machine.run("up", "--workers", "1", "--no-dashboard")

    assert 1 == done.returncode
    assert "cannot give local-1 an identity" in done.stderr
    assert [] == machine.left()


def test_down_and_status_of_nothing_say_so(machine: Machine) -> None:
    """Nothing to stop is no failure, and leaves no folder."""
    down = machine.run("down")
    status = machine.run("status")

    assert [0, 0] == [down.returncode, status.returncode]
    assert "nothing runs" in down.stdout
    assert "nothing runs" in status.stdout
    assert not machine.data.exists()


def test_down_leaves_a_folder_alone_that_no_stack_was_ever_in(machine: Machine) -> None:
    """A wrong --data, even with --purge, touches nothing."""
    machine.data.mkdir()
    (machine.data / "log").mkdir()
    (machine.data / "log" / "precious").write_text("mine")

    done = machine.run("down", "--purge", "--yes")

    assert 0 == done.returncode
    assert ["log"] == [path.name for path in machine.data.iterdir()]
    assert "mine" == (machine.data / "log" / "precious").read_text()


def test_purge_deletes_what_is_ours_only(machine: Machine) -> None:
    """A file of somebody else in the folder stays."""
    machine.up("--workers", "0")
    (machine.data / "notes.txt").write_text("mine")

    asked = machine.run("down", "--purge")
    done = machine.run("down", "--purge", "--yes")

    assert asked.returncode != 0
    assert 0 == done.returncode
    assert ["notes.txt"] == [path.name for path in machine.data.iterdir()]


def test_foreground_stays_and_stops_everything_at_the_end(machine: Machine) -> None:
    """A service manager's TERM ends the whole stack."""
    stack = machine.programs.start(
        BIN / "fleethand",
        *("up", "--foreground", "--no-dashboard", "--workers", "1"),
        environ={"FLEETHAND_DATA": str(machine.data)},
    )
    stack.wait_for_output("Fleethand is ready", UP_S)
    assert stack.is_running

    assert 0 == stack.stop()

    assert [] == machine.left()


def test_stack_runs_for_a_user_who_is_not_root(machine: Machine) -> None:
    """Nothing of it needs root."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("this test runs as root and changes to nobody")
    folder = Path(tempfile.mkdtemp(prefix="fleethand-nobody-"))  # tmp_path is closed to nobody
    os.chown(folder, 65534, 65534)
    as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", BIN / "fleethand"]
    environ = clean_environment(**{MARK: machine.programs.mark, "FLEETHAND_DATA": str(folder / "data"), "HOME": "/tmp"})

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*as_nobody, *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=UP_S, check=False)

    try:
        if run("up", "--help").returncode or run("doctor", "--redis-url", "redis://127.0.0.1:1/0").stderr.count(
            "Traceback"
        ):
            pytest.skip("nobody cannot read this checkout or its Python")
        up = run("up", "--workers", "1", "--no-dashboard")
        ran = run("run", "--all", "--working-dir", "/tmp", "--", "id -u")
        down = run("down", "--purge", "--yes")
    finally:
        run("down")
        shutil.rmtree(folder)

    assert [0, 0, 0] == [up.returncode, ran.returncode, down.returncode], up.stderr + ran.stderr + down.stderr
    assert "65534" in ran.stdout
    assert [] == machine.left()


def test_demo_shows_live_output_and_one_status_and_cleans_up(machine: Machine, tmp_path: Path) -> None:
    """What `make demo` runs: within its time, without a terminal."""
    began_s = elapsed_s()
    done = machine.run("demo", TMPDIR=str(tmp_path))

    assert 0 == done.returncode, done.stderr
    assert elapsed_s() - began_s < 30
    for worker in ("local-1", "local-2", "local-3"):
        assert f"{worker}| step 3 of 3" in done.stdout
    assert "Success" in done.stdout + done.stderr
    assert [] == machine.left()
    assert not list(tmp_path.glob("fleethand-demo-*"))
