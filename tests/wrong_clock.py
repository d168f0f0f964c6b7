"""A wall clock that is wrong for one program, and can be set while that runs."""

import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "fake_clock.c"


class WrongClock:
    """What to start a program with so that its wall clock is wrong: a worker, or the server, whose time is all's."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self.offset_ms = 0
        self.set(0)
        library = folder / "fake_clock.so"
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
        self.environ = {"LD_PRELOAD": str(library), "FAKE_CLOCK_FILE": str(self._file)}

    def set(self, offset_ms: int) -> None:
        """Be wrong by this much from now on."""
        self.offset_ms = offset_ms
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", offset_ms))
