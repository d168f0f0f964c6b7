"""The claims of this host, safe from a power cut: one line a claim, in a file that was filled beforehand.

An execution's folder is on the disk only when the kernel has written it, some seconds later. Waiting for that would
cost three flushes a claim; a line in a file whose blocks are already there costs one small one. After a power cut the
lines say what was claimed, and what has no folder then is lost, not new.
"""

import os
from contextlib import suppress
from pathlib import Path

from fleethand_common.clock import elapsed_s

BYTES = 64 * 1024
"""Room for about 2,000 claims."""
SETTLED_S = 120.0
"""After this time the kernel has written a folder in any case, and its line may go."""
_BOOT_CHARS = 8
"""So much of the boot id tells two boots of one host apart."""


class Claims:
    """The file of claims, and where its next line goes."""

    def __init__(self, path: Path, boot_id: str, folder: int | None) -> None:
        """Read what is there; the file is made when the first claim comes.

        Args:
            folder: a descriptor of the folder in which executions are, flushed before lines are dropped.
        """
        self._path = path
        self._boot = boot_id[:_BOOT_CHARS]
        self._folder = folder
        self._descriptor = -1
        self._offset = self._size = 0
        lines = self._open()
        self.lost_with_power = tuple(name for boot, name in lines if boot != self._boot)
        """What was claimed in earlier boots: what has no folder now was lost with the power."""
        self._young = {name: elapsed_s() for boot, name in lines if boot == self._boot}

    def add(self, name: str) -> None:
        """Note a claim; when this returns it is on the disk.

        Raises:
            OSError: the disk does not take it.
        """
        line = self._line(name)
        if self._offset + len(line) > self._size:
            self._make_room(len(line))
        os.pwrite(self._descriptor, line, self._offset)
        _flush(self._descriptor)
        self._offset += len(line)
        self._young[name] = elapsed_s()

    def _line(self, name: str) -> bytes:
        return f"{self._boot} {name}\n".encode()

    def _open(self) -> list[tuple[str, str]]:
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            self._descriptor = os.open(self._path, flags)
        except FileNotFoundError:
            return []
        text = self._path.read_bytes()
        self._size = len(text)
        self._offset = (text.rfind(b"\n", 0, text.find(b"\0")) if b"\0" in text else text.rfind(b"\n")) + 1
        lines = text[: self._offset].decode(errors="replace").splitlines()
        return [(boot, name) for boot, _, name in (line.partition(" ") for line in lines) if name]

    def _make_room(self, wanted: int) -> None:
        """Drop the lines whose folders the disk has by now, or make the file larger."""
        if self._folder is not None:
            os.fsync(self._folder)
        now = elapsed_s()
        self._young = {name: at for name, at in self._young.items() if now - at < SETTLED_S}
        data = b"".join(self._line(name) for name in self._young)
        size = max(BYTES, self._size if 2 * len(data) < self._size else 2 * len(data) + wanted)
        try:
            self._replace(data, size)
        except OSError:  # a full disk: the place that we have must do
            if self._descriptor < 0 or len(data) + wanted > self._size:
                raise
            os.pwrite(self._descriptor, data.ljust(self._size, b"\0"), 0)
            os.fsync(self._descriptor)
        self._offset = len(data)

    def _replace(self, data: bytes, size: int) -> None:
        temporary = self._path.with_suffix(".tmp")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(temporary, flags, 0o600)
        try:
            if os.write(descriptor, data.ljust(size, b"\0")) != size:
                raise OSError(f"cannot write all of {temporary}")
            os.fsync(descriptor)
            temporary.replace(self._path)
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                temporary.unlink()
            raise
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._size = descriptor, size
        self._sync_parent()

    def _sync_parent(self) -> None:
        if os.name == "posix":
            descriptor = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _flush(descriptor: int) -> None:
    """Write the data through; the file's size does not change, so nothing else has to be."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)
