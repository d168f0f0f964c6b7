"""Supervision where there is no fork: a thread per execution, and Windows' own way to end a tree of processes.

Runs by design, not by test, on Windows; the thread and what it calls are tested elsewhere with a script of that system.
A thread does not outlive its worker: what ran then is an `Error` of the next start (`ClientRestarted`).
"""

import os
import subprocess  # noqa: TID251 - the supervisor of a system without fork
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from fleethand_common.clock import elapsed_s
from fleethand_worker.output import OutputBuffer

POLL_S = 0.05
DRAIN_S = 0.2
READ_BYTES = 64 * 1024


def kill_command(pid: int) -> tuple[str, ...]:
    """Return the command that ends a process and all that came from it."""
    return ("taskkill.exe", "/PID", str(pid), "/T", "/F")


def creation_flags() -> int:
    """Return the flags that give a script its own group and no window; none on other systems."""
    return getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)


class ThreadSupervision:
    """One script under a thread: its output, its time, its end."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        environment: dict[str, str],
        timeout_s: float,
        output_limit: int,
        kill_tree: Callable[[subprocess.Popen[bytes]], None],
    ) -> None:
        self.output = OutputBuffer(output_limit)
        self.exit_code: int | None = None
        self.was_stopped = False
        self.timed_out = False
        self._argv = argv
        self._folder = folder
        self._environment = environment
        self._timeout_s = timeout_s
        self._kill_tree = kill_tree
        self._stop = threading.Event()

    def stop(self) -> None:
        """Have the script ended; from any thread."""
        self._stop.set()

    def run(self) -> None:
        """Start the script and return when it has ended."""
        began_s = elapsed_s()
        process = subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env=self._environment,
            creationflags=creation_flags(),
            start_new_session=os.name == "posix",
        )
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        while process.poll() is None:
            self.was_stopped = self._stop.wait(POLL_S)
            self.timed_out = not self.was_stopped and 0 < self._timeout_s <= elapsed_s() - began_s
            if self.was_stopped or self.timed_out:
                self._kill_tree(process)
                process.wait()
        reader.join(DRAIN_S)
        self.exit_code = process.returncode

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while data := os.read(process.stdout.fileno(), READ_BYTES):
            self.output.feed(data)
