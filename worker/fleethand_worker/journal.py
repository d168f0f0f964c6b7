"""The executions of this host on disk: a folder each, made before anything else is done with an order.

A folder holds `order.json`; `state.json`, which the supervisor fills in and holds a lock on while it lives;
`result.json`, the last report, ready to be sent; `reported`, once that was sent; `stop`, once that was asked for;
`live`, the beginning of the output; `script`. A folder with a result and no order is the trace of an order that was
refused, or of a stop that came before its order. Space for state and result is taken at the start, so that a disk
that fills up later takes neither.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fleethand_common.ids import is_instance_id
from fleethand_common.messages import ExecutionOrder, Finished, encode
from fleethand_worker.claims import Claims

if sys.platform != "win32":
    import fcntl

RESERVED_BYTES = 4096
"""One block: enough for a state, and for a result without output."""

_decode_finished = msgspec.json.Decoder(Finished).decode


class Journaled(msgspec.Struct, frozen=True, kw_only=True):
    """What `order.json` holds: the order, and what came with it."""

    order: ExecutionOrder
    attempt: int
    task_id: str
    accepted_at_ms: int
    boot_id: str


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What `state.json` holds: who supervises the execution, since when."""

    pid: int
    start_time: str
    boot_id: str
    started_at_ms: int


_decode_journaled = msgspec.json.Decoder(Journaled).decode
_decode_state = msgspec.json.Decoder(State).decode


@dataclass(frozen=True)
class Entry:
    """The folder of one execution."""

    path: Path

    @property
    def invocation_id(self) -> str:
        """Return the invocation's id, which is the folder's name."""
        return self.path.name

    def journaled(self) -> Journaled | None:
        """Return the order, or None if it was never written."""
        with suppress(OSError, msgspec.DecodeError):
            return _decode_journaled((self.path / "order.json").read_bytes())
        return None

    def state(self) -> State | None:
        """Return what the supervisor wrote, or None if it has not come so far."""
        with suppress(OSError, msgspec.DecodeError):
            return _decode_state((self.path / "state.json").read_bytes())
        return None

    def write_state(self, state: State) -> None:
        """Write the state into the place that was taken for it, in one write, which no kill can tear."""
        descriptor = os.open(self.path / "state.json", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, encode(state).ljust(512), 0)
            os.ftruncate(descriptor, 512)
        finally:
            os.close(descriptor)

    def lock(self) -> int | None:
        """Return a descriptor that holds this execution's lock, or None if a living supervisor has it.

        The lock passes on to a forked child with the descriptor, and ends with the last of them.
        """
        descriptor = os.open(self.path / "state.json", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def result(self) -> Finished | None:
        """Return how it ended, or None if it has not."""
        with suppress(OSError, msgspec.DecodeError):
            return _decode_finished((self.path / "result.json").read_bytes())
        return None

    def has_result(self) -> bool:
        """Tell whether it has ended."""
        return (self.path / "result.json").exists()

    def write_result(self, finished: Finished) -> Finished:
        """Put the result into its place, all or nothing; without its output if the disk is full.

        Returns:
            what was written.
        """
        with suppress(OSError):
            self._write_result(encode(finished))
            return finished
        bare = msgspec.structs.replace(finished, output="", dropped=finished.dropped + len(finished.output.encode()))
        self._write_result(encode(bare))
        return bare

    def _write_result(self, data: bytes) -> None:
        temporary = self.path / "result.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.ftruncate(descriptor, len(data))
        except OSError:
            # What is too much of a failed attempt must not take the place of the next.
            os.ftruncate(descriptor, RESERVED_BYTES)
            raise
        finally:
            os.close(descriptor)
        temporary.replace(self.path / "result.json")

    def sync_result(self) -> None:
        """Have the result on the disk; nobody waits for it, as a result that is lost there was most likely reported."""
        with suppress(OSError):
            descriptor = os.open(self.path / "result.json", os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def mark(self, name: str) -> None:
        """Set the mark *name*; a full disk may refuse it, which costs one report more and nothing else."""
        with suppress(OSError):
            (self.path / name).touch(mode=0o600)

    def is_marked(self, name: str) -> bool:
        """Tell whether the mark *name* is set."""
        return (self.path / name).exists()

    def marked_at_ms(self, name: str) -> int | None:
        """Return when the mark was set by the host's own wall clock, or None."""
        with suppress(OSError):
            return (self.path / name).stat().st_mtime_ns // 1_000_000
        return None


class Journal:
    """All executions of this host."""

    def __init__(self, state_dir: Path, boot_id: str) -> None:
        self.boot_id = boot_id
        self._path = state_dir / "executions"
        self._path.mkdir(mode=0o700, exist_ok=True)
        self._folder = os.open(self._path, os.O_RDONLY) if os.name == "posix" else None
        self._claims = Claims(state_dir / "claims", boot_id, self._folder)
        self._count = state_dir / "count"
        self.executions = self._read_count()

    def entry(self, invocation_id: str) -> Entry:
        """Return the entry of an invocation, whether it exists or not."""
        return Entry(self._path / invocation_id)

    def find(self, invocation_id: str) -> Entry | None:
        """Return the entry of an invocation if there is one."""
        entry = self.entry(invocation_id)
        return entry if is_instance_id(invocation_id) and entry.path.is_dir() else None

    def lost_with_power(self) -> Iterator[str]:
        """Yield the executions that were claimed before a power cut and of which nothing can be read any more."""
        for invocation_id in self._claims.lost_with_power:
            entry = self.entry(invocation_id)
            if entry.result() is not None:
                continue
            with suppress(OSError):
                (entry.path / "result.json").unlink()  # torn
            if entry.journaled() is None:
                self.remove(entry)
                yield invocation_id

    def entries(self) -> Iterator[Entry]:
        """Yield every entry, the oldest claim first."""
        with suppress(OSError):
            paths = [path for path in self._path.iterdir() if path.is_dir()]
            yield from (Entry(path) for path in sorted(paths, key=lambda path: path.stat().st_ctime_ns))

    def claim(self, journaled: Journaled) -> Entry:
        """Write an order down; when this returns it is on the disk.

        Raises:
            FileExistsError: it was claimed before.
            OSError: it cannot be written; nothing is left of it.
        """
        entry = self._make(journaled.order.invocation_id)
        try:
            for name in ("state.json", "result.tmp"):
                _reserve(entry.path / name)
            _write(entry.path / "order.json", encode(journaled))
            self._claims.add(entry.invocation_id)
        except OSError:
            self.remove(entry)
            raise
        self.executions += 1
        return entry

    def bury(self, finished: Finished) -> Entry:
        """Write down the end of an execution that never began, so that an order that comes later is not run.

        Raises:
            OSError: it cannot be written, or was claimed before.
        """
        entry = self._make(finished.invocation_id)
        try:
            entry.write_result(finished)
            self._claims.add(entry.invocation_id)
        except OSError:
            self.remove(entry)
            raise
        return entry

    def remove(self, entry: Entry) -> None:
        """Forget an execution."""
        shutil.rmtree(entry.path, ignore_errors=True)

    def _make(self, invocation_id: str) -> Entry:
        if not is_instance_id(invocation_id):
            raise OSError(f"cannot use {invocation_id!r} as the name of a folder")
        entry = self.entry(invocation_id)
        entry.path.mkdir(mode=0o700)
        return entry

    def _read_count(self) -> int:
        try:
            return int(self._count.read_text())
        except (OSError, ValueError):
            return 0

    def write_count(self) -> None:
        """Write down how many executions there were; now and then, as nothing depends on the last of them."""
        with suppress(OSError):
            self._count.write_text(str(self.executions))


def _write(path: Path, data: bytes) -> None:
    with path.open("xb", buffering=0) as file:
        path.chmod(0o600)
        if file.write(data) != len(data):
            raise OSError(f"cannot write all of {path}")


def _reserve(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
    finally:
        os.close(descriptor)
