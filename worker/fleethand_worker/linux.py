"""Facts about processes that only Linux tells, and what stands in for them elsewhere."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
"""Loaded once: every supervisor would pay for it again."""
_PROC = Path("/proc")
_STATE, _PARENT, _START_TIME = 0, 1, 19
"""Fields of /proc/<pid>/stat, counted behind the command's name."""


def become_subreaper() -> bool:
    """Adopt every orphan among this process's descendants from now on; tell whether the system can."""
    return _LIBC is not None and bool(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def boot_id() -> str:
    """Return what is the same until the next boot, or nothing where there is no such thing."""
    with suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return ""


def start_time(pid: int) -> str:
    """Return when *pid* was started, in a form that only equals itself; empty if there is no such process."""
    fields = _stat(str(pid))
    return fields[_START_TIME] if fields else ""


def descendants(root: int) -> list[int]:
    """Return all living processes that come from *root*, without those that are dead and not yet buried."""
    children: dict[int, list[int]] = {}
    dead: set[int] = set()
    for name in _pids():
        if fields := _stat(name):
            children.setdefault(int(fields[_PARENT]), []).append(int(name))
            if fields[_STATE] in "ZX":
                dead.add(int(name))
    found, waiting = [], [root]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            found.append(pid)
            waiting.append(pid)
    return [pid for pid in found if pid not in dead]


def with_variables(**variables: str) -> list[int]:
    """Return all living processes that were started with these environment variables, wherever they went since."""
    wanted = {f"{name}={value}".encode() for name, value in variables.items()}
    found = []
    for pid in _pids():
        with suppress(OSError):
            if wanted.issubset((_PROC / pid / "environ").read_bytes().split(b"\0")):
                found.append(int(pid))
    return found


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when *pid* ends, or None where the system has no such thing."""
    with suppress(OSError, AttributeError):
        return os.pidfd_open(pid)
    return None


def reset_out_of_memory_score() -> str | None:
    """Give what is started from now on the usual chance to be killed when memory runs out; return the score before."""
    with suppress(OSError):
        score = (_PROC / "self/oom_score_adj").read_text().strip()
        if score != "0":
            set_out_of_memory_score("0")
            return score
    return None


def set_out_of_memory_score(score: str) -> None:
    """Set this process's own score."""
    with suppress(OSError):
        (_PROC / "self/oom_score_adj").write_text(score)


def send_signal(pid: int, number: signal.Signals) -> bool:
    """Send a signal; tell whether there was somebody to take it."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def memory_file(data: bytes) -> int:
    """Return a descriptor of a file in memory that holds *data*, readable to whoever it is passed to and no one else.

    Raises:
        OSError: the system has no such thing.
    """
    if not hasattr(os, "memfd_create"):
        raise OSError("this system has no files in memory")
    descriptor = os.memfd_create("script", 0)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.fchmod(descriptor, 0o444)
    return descriptor


def _pids() -> list[str]:
    try:
        return [name for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 - a hundred Paths cost more
    except OSError:
        return []


def _stat(pid: str) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - called for every process there is
            # The command's name may hold spaces and brackets; the last bracket ends it.
            return file.read().rpartition(b")")[2].decode().split()
    except (OSError, ValueError):
        return []
