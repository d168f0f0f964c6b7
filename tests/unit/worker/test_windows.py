"""Supervision by a thread, as on Windows, with a script of this system."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fleethand_worker.windows import ThreadSupervision, kill_command
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripts here are for a shell")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group, in the place of taskkill."""
    os.killpg(process.pid, signal.SIGKILL)


def supervise(content: str, folder: Path, timeout_s: float = 10) -> ThreadSupervision:
    """Return the supervision of a shell script."""
    return ThreadSupervision(
        ["/bin/sh", "-c", content],
        folder=folder,
        environment={"PATH": os.environ["PATH"]},
        timeout_s=timeout_s,
        output_limit=1000,
        kill_tree=kill_group,
    )


def test_script_ends_by_itself_when_nothing_is_wrong(tmp_path: Path) -> None:
    """Its exit code and output are there."""
    supervision = supervise("echo hi; exit 3", tmp_path)
    supervision.run()
    assert (supervision.exit_code, supervision.output.kept()) == (3, ("hi\n", 0))
    assert not supervision.was_stopped
    assert not supervision.timed_out


def test_script_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    """A timeout is told from a stop."""
    supervision = supervise("echo hi; sleep 30", tmp_path, timeout_s=0.2)
    supervision.run()
    assert supervision.timed_out
    assert supervision.output.kept()[0] == "hi\n"


def test_script_is_killed_when_it_is_stopped(tmp_path: Path) -> None:
    """From another thread."""
    supervision = supervise("echo hi; sleep 30", tmp_path)
    thread = threading.Thread(target=supervision.run)
    thread.start()
    wait_until(lambda: supervision.output.total, 5, "its output")
    supervision.stop()
    thread.join(5)
    assert supervision.was_stopped
    assert not supervision.timed_out


def test_kill_command_names_the_whole_tree() -> None:
    """Windows has a program for that."""
    assert kill_command(7) == ("taskkill.exe", "/PID", "7", "/T", "/F")
