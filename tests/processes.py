"""Real programs for tests: started with a mark in their environment, killed with everything that came from them.

Nothing that a test starts may outlive it: a program dies with the test process (on Linux even if that is killed), and
what left its parent is found by the mark, the working directory or the arguments.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from waiting import wait_until

MARK = "FLEETHAND_TEST_MARK"
BIN = Path(sys.executable).parent

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def clean_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without any setting of ours, with the virtual environment's programs first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLEETHAND_", "CELERY_"))}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept.get('PATH', '')}", "PYTHONUNBUFFERED": "1", **extra}


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A running program whose output goes to a file."""

    def __init__(self, argv: Sequence[str | Path], *, environ: Mapping[str, str], log: Path, cwd: Path) -> None:
        self.argv = [str(part) for part in argv]
        self.log = log
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                self.argv,
                env=dict(environ),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - nothing but one system call
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self.process.poll() is None

    def output(self) -> str:
        """Return all that it has written so far, to stdout and stderr."""
        return self.log.read_text(errors="replace")

    def wait_for_output(self, text: str, timeout_s: float = 20) -> str:
        """Return its output once *text* stands in it."""
        wait_until(lambda: text in self.output() or not self.is_running, timeout_s, f"{text!r} in {self.log}")
        output = self.output()
        assert text in output, f"{self.argv} ended with {self.process.returncode}:\n{output[-4000:]}"
        return output

    def send(self, number: int) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def stop(self, timeout_s: float = 20) -> int:
        """Ask it to end (SIGTERM) and return its exit code."""
        if self.is_running:
            self.process.terminate()
        return self.process.wait(timeout_s)

    def kill(self) -> int:
        """Kill the program alone, as a crash would; what it started goes on."""
        self.process.kill()
        return self.process.wait(10)

    def wait(self, timeout_s: float = 20) -> int:
        """Return its exit code when it has ended by itself."""
        return self.process.wait(timeout_s)


class Programs:
    """All programs of one test, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = str(folder)
        self._programs: list[Program] = []

    def start(
        self,
        *argv: str | Path,
        name: str | None = None,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Program:
        """Start a program with a clean environment, this test's mark and *environ*."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name or Path(argv[0]).name}-{len(self._programs)}.log"
        program = Program(
            argv, environ=clean_environment(**{MARK: self.mark}, **(environ or {})), log=log, cwd=cwd or self.folder
        )
        self._programs.append(program)
        return program

    def kill_all(self) -> None:
        """Kill every program and all that came from them, wherever it went."""
        for _ in range(10):
            found = self._found()
            if not found:
                break
            kill(found)
        for program in self._programs:
            program.process.wait(10)

    def _found(self) -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            if process.pid != os.getpid() and self._is_ours(process):
                found[process.pid] = process
                with contextlib.suppress(psutil.Error):
                    found.update((child.pid, child) for child in process.children(recursive=True))
        return [process for process in found.values() if _is_alive(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        if any(program.pid == process.pid and program.is_running for program in self._programs):
            return True
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == self.mark or process.cwd().startswith(self.mark):
                return True
            return any(self.mark in part for part in process.cmdline())
        return False


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes and wait until they are gone; stop all of them first, so that none starts another meanwhile."""
    known = list(processes)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in known:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
    psutil.wait_procs(known, timeout=5)
