"""The supervisors of a worker: forked when one is needed, and used again while it is warm.

A fork copies the worker's page tables, each page that either of them touches afterwards is copied, too, and all of it
is given back at the end: most of what a short command costs. So a supervisor that is done waits a while for another
execution, if its script left nothing behind. An idle host has none: they end by themselves, and with their worker.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from fleethand_worker import supervisor
from fleethand_worker.supervisor import Assignment

KEPT = 2
"""How many may wait at a time; more than that many at once are rare."""
_SEND_S = 1.0


@dataclass(frozen=True)
class _Member:
    """A supervisor and the link on which it is given work; without one it serves once."""

    pid: int
    link: socket.socket | None


class Crew:
    """Launches supervisors and keeps those that may serve again."""

    def __init__(self, linger_s: float) -> None:
        """Make a crew whose members wait *linger_s* for more work; 0 means that each serves once."""
        self._linger_s = linger_s
        self._busy: dict[int, _Member] = {}
        self._waiting: list[_Member] = []
        self._leaving: set[int] = set()

    def launch(self, assignment: Assignment) -> tuple[int, int]:
        """Have a supervisor take an execution.

        Returns:
            its process id, and the descriptor of the pipe on which it tells how far it is.

        Raises:
            OSError: no process or descriptor is to be had.
        """
        lock = assignment.entry.lock()
        if lock is None:
            raise OSError("another supervisor has this execution")
        reader, writer = os.pipe()
        try:
            member = self._hand_over(assignment, lock, writer) or self._fork(assignment, lock, writer)
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
            os.close(lock)
        self._busy[member.pid] = member
        return member.pid, reader

    def _hand_over(self, assignment: Assignment, lock: int, writer: int) -> _Member | None:
        """Give the work to one that waits; None if nobody does."""
        while self._waiting:
            member = self._waiting.pop()
            with suppress(OSError):
                assert member.link is not None
                socket.send_fds(member.link, [supervisor.request(assignment)], [lock, writer])
                return member
            self._dismiss(member)  # it had just ended by itself
        return None

    def _fork(self, assignment: Assignment, lock: int, writer: int) -> _Member:
        ours, theirs = _link() if self._linger_s > 0 else (None, None)
        try:
            with _signals_blocked():
                pid = os.fork()
                if pid == 0:
                    supervisor.serve(assignment, lock, writer, theirs, self._linger_s)
        except OSError:
            if ours is not None:
                ours.close()
            raise
        finally:
            if theirs is not None:
                theirs.close()
        return _Member(pid, ours)

    def release(self, pid: int, *, done: bool) -> None:
        """Note that a supervisor has no execution any more; one that has said so itself (*done*) may serve again."""
        member = self._busy.pop(pid, None)
        if member is None:
            return
        if done and member.link is not None and len(self._waiting) < KEPT:
            self._waiting.append(member)
        else:
            self._dismiss(member)

    def _dismiss(self, member: _Member) -> None:
        if member.link is not None:
            member.link.close()
        self._leaving.add(member.pid)

    def dismiss_all(self) -> None:
        """Let all go that wait; those that are busy go when they are done."""
        while self._waiting:
            self._dismiss(self._waiting.pop())

    def bury(self) -> bool:
        """Bury those that have ended; tell whether some are still about to."""
        for member in list(self._waiting):
            if _has_ended(member.pid):
                self._waiting.remove(member)
                if member.link is not None:
                    member.link.close()
        self._leaving = {pid for pid in self._leaving if not _has_ended(pid)}
        return bool(self._leaving)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def _link() -> tuple[socket.socket | None, socket.socket | None]:
    """Return both ends of a link that keeps messages apart; only Linux has it."""
    if sys.platform != "linux":
        return None, None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(_SEND_S)
    return ours, theirs


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let no signal reach a child while it still has the worker's handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
