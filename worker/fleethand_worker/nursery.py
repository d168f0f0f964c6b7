"""A small process that forks supervisors in the worker's stead while there is much to do.

A fork of the worker copies the page tables of all that Celery brought along, and each page that either of them touches
afterwards is copied, too: half of what an execution costs. This process has a third of the pages and touches none.
It is started when a second execution follows soon after a first, and ends by itself when nothing came for a while,
so that an idle host is one process. It matters to nothing but speed: without it the worker forks by itself.

Between the two: a message per supervisor with its lock and its pipe, answered with its process id.
"""

import gc
import os
import select
import signal
import socket
import subprocess  # noqa: TID251 - starts this very module
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from fleethand_common.clock import Clock, elapsed_s
from fleethand_worker import supervisor
from fleethand_worker.journal import Entry
from fleethand_worker.supervisor import Assignment

SOON_S = 60.0
LINGER_S = 60.0
_REAP_S = 0.5
_LOOK_S = 0.01
_ANSWER_S = 5.0
_READY = b"ready"
_NOT_FORKED = b"0"
_MESSAGE_BYTES = 8192


class _Request(msgspec.Struct, frozen=True):
    """What the journal does not hold of an assignment."""

    path: str
    instance_id: str
    instance_name: str
    boot_id: str
    now_ms: int


class Nursery:
    """The worker's side: launches supervisors, through the small process if it is there."""

    def __init__(self) -> None:
        self._link: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._last_s = -SOON_S

    def launch(self, assignment: Assignment) -> tuple[int, int]:
        """Start a supervisor; see `supervisor.launch`."""
        is_soon = elapsed_s() - self._last_s < SOON_S
        self._last_s = elapsed_s()
        if self._answers():
            with suppress(_UnavailableError):
                return self._ask(assignment)
            self._close()
        elif is_soon and self._link is None and sys.platform == "linux":
            self._open()
        return supervisor.launch(assignment)

    def _open(self) -> None:
        with suppress(OSError):
            self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._link.settimeout(_ANSWER_S)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                )

    def _close(self) -> None:
        if self._link is not None:
            self._link.close()
        if self._process is not None:
            self._process.poll()
        self._link, self._is_ready = None, False

    def _kill(self) -> None:
        """End a process that does not answer: later it would start what was told to have failed, or is started here."""
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_ANSWER_S)

    def _answers(self) -> bool:
        """Tell whether the process is there; one that has ended by itself is let go."""
        if self._link is None:
            return False
        if select.select([self._link], [], [], 0)[0]:  # its first word, or its end
            self._is_ready = self._link.recv(len(_READY)) == _READY
            if not self._is_ready:
                self._close()
        return self._is_ready

    def _ask(self, assignment: Assignment) -> tuple[int, int]:
        lock = assignment.entry.lock()
        if lock is None:
            raise OSError("another supervisor has this execution")
        reader, writer = os.pipe()
        try:
            pid = self._converse(assignment, lock, writer)
        except OSError as error:
            os.close(lock)
            lock = -1
            self._kill()
            pid = _pid_of_unanswered(assignment.entry)
            if not pid:
                os.close(reader)
                raise _UnavailableError from error
        finally:
            os.close(writer)
            if lock >= 0:
                os.close(lock)
        return pid, reader

    def _converse(self, assignment: Assignment, lock: int, writer: int) -> int:
        assert self._link is not None
        request = _Request(
            path=str(assignment.entry.path),
            instance_id=assignment.instance_id,
            instance_name=assignment.instance_name,
            boot_id=assignment.boot_id,
            now_ms=assignment.clock.now_ms(),
        )
        socket.send_fds(self._link, [msgspec.json.encode(request)], [lock, writer])
        answer = self._link.recv(_MESSAGE_BYTES)
        if not answer or answer == _NOT_FORKED:
            raise OSError("no supervisor was forked")
        return int(answer)


class _UnavailableError(Exception):
    """The small process cannot do it, and has not."""


def _pid_of_unanswered(entry: Entry) -> int:
    """Return which supervisor a request made that got no answer; 0 if the lock says that it made none."""
    until = elapsed_s() + _ANSWER_S
    while elapsed_s() < until:
        lock = entry.lock()
        if lock is not None:
            os.close(lock)
            return 0
        if state := entry.state():
            return state.pid
        time.sleep(_LOOK_S)
    raise OSError("a supervisor was forked and does not say which process it is")


def main(link: socket.socket) -> None:
    """Fork a supervisor per message until the worker is gone or asks for none any more."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # a supervisor takes its signals when it is ready
    gc.collect()
    gc.freeze()
    gc.disable()
    link.send(_READY)
    idle_since_s = elapsed_s()
    while elapsed_s() - idle_since_s < LINGER_S:
        link.settimeout(_REAP_S if _reap() else LINGER_S)
        try:
            data, descriptors, _, _ = socket.recv_fds(link, _MESSAGE_BYTES, 2)
        except TimeoutError:
            continue
        if not data:
            return
        idle_since_s = elapsed_s()
        link.send(_fork(data, descriptors))
        for descriptor in descriptors:
            os.close(descriptor)


def _fork(data: bytes, descriptors: list[int]) -> bytes:
    try:
        pid = os.fork()
    except OSError:
        return _NOT_FORKED
    if pid == 0:
        lock, writer = descriptors
        supervisor.run_child(lambda: _assignment(data), lock, writer)
    return str(pid).encode()


def _assignment(data: bytes) -> Assignment:
    request = msgspec.json.decode(data, type=_Request)
    entry = Entry(Path(request.path))
    journaled = entry.journaled()
    if journaled is None:
        raise OSError("the order is not in the journal")
    clock = Clock()
    clock.set(request.now_ms)
    return Assignment(
        entry=entry,
        order=journaled.order,
        instance_id=request.instance_id,
        instance_name=request.instance_name,
        boot_id=request.boot_id,
        clock=clock,
    )


def _reap() -> bool:
    """Bury what has ended; tell whether some still live."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
