"""Watching over one running script: its output, its time, its end, and the end of all that came from it."""

import os
import select
import signal
from contextlib import suppress
from enum import Enum
from pathlib import Path

from fleethand_common.clock import elapsed_s
from fleethand_common.commands import TerminationMode
from fleethand_worker import linux
from fleethand_worker.output import OutputBuffer

DRAIN_S = 0.2
"""How long output is still read after the script ended, if something it started holds the pipe open."""
KILL_S = 10.0
"""How long to go on killing what does not die."""
LOOK_S = 0.05
"""How often to look for processes that are left, when a script is being ended."""
LONGEST_SLEEP_S = 60.0
"""A sleep does not go on while the host is suspended, the clock of a timeout does; so look now and then."""
READ_BYTES = 64 * 1024


class Ending(Enum):
    """Why a script was ended from outside."""

    TIMEOUT = "timeout"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


class Supervision:
    """One script, from just before its start to the end of what came from it."""

    def __init__(
        self, *, timeout_s: float, grace_s: float, mode: TerminationMode, output_limit: int, live_path: Path
    ) -> None:
        self.output = OutputBuffer(output_limit)
        self.ending: Ending | None = None
        self.exit_code: int | None = None
        self.killed_by = 0
        self.survivors = 0
        self.ended_s = 0.0
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._mode = mode
        self._live_path = live_path
        self._live_room = output_limit
        self._live = -1
        self._asked: Ending | None = None
        self._pid = 0
        self._reader = -1
        self._wakeup = -1
        self._waker = -1
        self._poll = select.poll()

    def catch_signals(self) -> None:
        """Take signals from now on: SIGUSR1 is a stop that was ordered, SIGTERM comes from somebody else."""
        self._wakeup, self._waker = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._poll.register(self._wakeup, select.POLLIN)
        signal.signal(signal.SIGUSR1, lambda *_: self._ask(Ending.STOPPED))
        signal.signal(signal.SIGTERM, lambda *_: self._ask(Ending.INTERRUPTED))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # The script inherits the mask, so none may be left blocked.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _ask(self, ending: Ending) -> None:
        if self._asked is not Ending.STOPPED:
            self._asked = ending

    def run(self, pid: int, reader: int, began_s: float) -> None:
        """Go on until the script, process *pid* which writes to *reader*, has ended or was ended."""
        self._pid = pid
        self._reader = reader
        self._poll.register(reader, select.POLLIN)
        deadline = began_s + self._timeout_s if self._timeout_s > 0 else float("inf")
        while self.exit_code is None and self.ending is None:
            self._step(min(deadline - elapsed_s(), LONGEST_SLEEP_S))
            if self.exit_code is not None:
                break
            if self._asked is not None:
                self.ending = self._asked
            elif elapsed_s() >= deadline:
                self.ending = Ending.TIMEOUT
        if self.ending is not None:
            self._end()
        self._drain()
        self.ended_s = elapsed_s()

    def close(self) -> None:
        """Give the descriptors back; the process may supervise another script."""
        signal.set_wakeup_fd(-1)
        for descriptor in (self._wakeup, self._waker, self._live, self._reader):
            if descriptor >= 0:
                os.close(descriptor)

    def _end(self) -> None:
        """Ask all to end, wait, then kill whoever is left until nobody is."""
        self._signal_all(signal.SIGTERM)
        kill_at = elapsed_s() + self._grace_s
        while self._remaining() and elapsed_s() < kill_at:
            self._step(LOOK_S)
        give_up_at = elapsed_s() + KILL_S
        while self._signal_all(signal.SIGKILL) and elapsed_s() < give_up_at:
            self._step(LOOK_S / 10)
        self._reap()
        self.survivors = len(self._remaining())

    def _remaining(self) -> list[int]:
        if self._mode is TerminationMode.PROCESS:
            return [self._pid] if self.exit_code is None else []
        return linux.descendants(os.getpid())

    def _signal_all(self, number: signal.Signals) -> bool:
        """Send a signal to everyone who is to go; tell whether there was anyone."""
        targets = self._remaining()
        if number is signal.SIGKILL and len(targets) > 1:
            # Stop all before killing the first, or a tree that forks faster than it is read gets away.
            for pid in targets:
                linux.send_signal(pid, signal.SIGSTOP)
        for pid in targets:
            linux.send_signal(pid, number)
        return bool(targets)

    def _drain(self) -> None:
        """Read what is left until the pipe's end, or for a moment if somebody else holds it open."""
        until = elapsed_s() + DRAIN_S
        while self._reader >= 0 and (left := until - elapsed_s()) > 0:
            self._step(left)
        self._write_live(self.output.end())

    def _step(self, timeout_s: float) -> None:
        """Wait for something to happen, and take it."""
        events = self._poll.poll(max(0, int(timeout_s * 1000 + 0.999)))
        for descriptor, _ in events:
            if descriptor == self._wakeup:
                with suppress(BlockingIOError):
                    os.read(self._wakeup, 4096)
                self._reap()
            else:
                self._read()

    def _read(self) -> None:
        try:
            data = os.read(self._reader, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._poll.unregister(self._reader)
            os.close(self._reader)
            self._reader = -1
            return
        self._write_live(self.output.feed(data))

    def _write_live(self, data: bytes) -> None:
        """Let the worker see the beginning of the output while the script runs; the best that can be done is done."""
        data = data[: self._live_room]
        if not data:
            return
        self._live_room -= len(data)
        try:
            if self._live < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._live = os.open(self._live_path, flags, 0o600)
            if os.write(self._live, data) == len(data):
                return
        except OSError:
            pass
        self._live_room = 0  # a gap would make every later offset wrong

    def _reap(self) -> None:
        """Bury the dead: the script itself, and the orphans that this process adopted."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                code = os.waitstatus_to_exitcode(status)
                self.killed_by = max(0, -code)
                self.exit_code = code if code >= 0 else 128 - code
