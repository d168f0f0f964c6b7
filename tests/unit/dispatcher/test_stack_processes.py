"""How processes are told apart and ended."""

import os
import sys
from pathlib import Path

from fleethand_common.clock import elapsed_s
from fleethand_dispatcher.stack import processes
from fleethand_dispatcher.stack.processes import Identity

IGNORES_TERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def test_identity_tells_a_process_from_a_later_one_with_its_pid() -> None:
    """A pid alone names nobody."""
    ours = Identity.of(os.getpid())

    assert ours.alive()
    assert not Identity(pid=ours.pid, started_at=ours.started_at - 60).alive()


def test_start_gives_a_session_of_its_own_and_no_stream_of_ours(tmp_path: Path) -> None:
    """Who started us through a pipe must see it close."""
    log = tmp_path / "out.log"
    code = "import os; print(os.getsid(0) == os.getpid(), [os.readlink(f'/proc/self/fd/{n}') for n in range(3)])"

    started = processes.start([sys.executable, "-c", code], environ=os.environ, log=log, cwd=tmp_path)

    assert 0 == started.wait(20)
    assert f"True ['/dev/null', '{log}', '{log}']\n" == log.read_text()
    assert 0o600 == log.stat().st_mode & 0o777


def test_stop_kills_what_does_not_end_when_it_is_asked(tmp_path: Path) -> None:
    """The grace is not a wish."""
    log = tmp_path / "out.log"
    started = processes.start([sys.executable, "-c", IGNORES_TERM], environ=os.environ, log=log, cwd=tmp_path)
    while "ready" not in log.read_text():
        assert started.poll() is None

    began_s = elapsed_s()
    processes.stop([Identity.of(started.pid)], grace_s=0.2)

    assert -9 == started.wait(0)
    assert 0.2 <= elapsed_s() - began_s < 5


def test_stop_of_what_is_gone_does_nothing() -> None:
    """Nobody else gets the signal."""
    processes.stop([Identity(pid=os.getpid(), started_at=1.0)], grace_s=0)


def test_descendants_are_found_at_any_depth(tmp_path: Path) -> None:
    """A child of a child is found too."""
    log = tmp_path / "out.log"
    started = processes.start(["sh", "-c", "sh -c 'sleep 60; :'; :"], environ=os.environ, log=log, cwd=tmp_path)
    parent = Identity.of(started.pid)
    while len(found := processes.descendants([parent])) < 2:
        assert started.poll() is None

    processes.stop([parent, *found], grace_s=5)
    started.wait(5)

    assert not any(identity.alive() for identity in found)
