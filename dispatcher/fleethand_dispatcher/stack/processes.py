"""Starts, finds and ends the processes of the stack; the only module of the control plane that does."""

import os
import signal
import subprocess  # noqa: TID251 - the one module of the control plane that starts processes
import sys
import sysconfig
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from fleethand_common.clock import elapsed_s
from fleethand_common.errors import FleethandError

_SAME_START_S = 2.0  # psutil computes a start from the boot time, which moves when the clock is set
_LOG_BYTES = 10_000_000
_POLL_S = 0.02
_KILL_S = 5.0

Started = subprocess.Popen[bytes]
"""A process that we started and that only we can wait for."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process, told from a later one that was given the same pid."""

    pid: int
    started_at: float
    """Seconds since 1970."""

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """Return the identity of the process that has *pid* now."""
        try:
            return cls(pid=pid, started_at=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return cls(pid=pid, started_at=0.0)

    def find(self) -> psutil.Process | None:
        """Return the process if it lives."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < _SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self.find() is not None


def start(argv: Sequence[str], *, environ: Mapping[str, str], log: Path, cwd: Path) -> Started:
    """Start a process in a session of its own that shares no stream with ours; its output goes to *log*."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            env=dict(environ),
            cwd=cwd,
        )
    finally:
        os.close(descriptor)


def run(argv: Sequence[str], *, environ: Mapping[str, str]) -> int:
    """Run a program on our own streams and return its exit code."""
    return subprocess.run(argv, env=dict(environ), stdin=subprocess.DEVNULL, check=False).returncode


def program(name: str) -> list[str]:
    """Return how to start a program that was installed with us.

    Raises:
        FleethandError: it is not installed.
    """
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.exists():
        raise FleethandError(f"cannot find {path}: install Fleethand with pip install 'fleethand[dispatcher,worker]'")
    return [sys.executable, str(path)]


def stop(processes: Iterable[Identity], *, grace_s: float) -> None:
    """End these processes: TERM, then KILL for those that live after *grace_s*; returns when all are gone."""
    left = _signal(processes, signal.SIGTERM)
    left = _wait(left, grace_s)
    _wait(_signal(left, signal.SIGKILL), _KILL_S)


def descendants(processes: Iterable[Identity]) -> list[Identity]:
    """Return what these processes started, and what that started, as far as it lives."""
    found: list[Identity] = []
    for identity in processes:
        try:
            process = identity.find()
            children = process.children(recursive=True) if process is not None else []
            found += [Identity(pid=child.pid, started_at=child.create_time()) for child in children]
        except psutil.NoSuchProcess:
            continue
    return found


def _wait(processes: Iterable[Identity], longest_s: float) -> list[Identity]:
    """Return what lives after *longest_s*. A zombie is gone: whose child it is may be slow to notice."""
    until_s = elapsed_s() + longest_s
    left = [identity for identity in processes if identity.alive()]
    while left and elapsed_s() < until_s:
        time.sleep(_POLL_S)
        left = [identity for identity in left if identity.alive()]
    return left


def _signal(processes: Iterable[Identity], number: signal.Signals) -> list[Identity]:
    """Send a signal; returns those that got it."""
    signalled = []
    for identity in processes:
        try:
            process = identity.find()
            if process is not None:
                process.send_signal(number)
                signalled.append(identity)
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied as error:
            raise FleethandError(f"cannot end process {identity.pid}: it belongs to another user") from error
    return signalled
