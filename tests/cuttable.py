"""A host behind a cable of its own, which a test can pull: a network namespace and a pair of virtual interfaces.

Needs root. Nothing is touched but what is made here; the addresses are of the benchmark range 198.18.0.0/15, which no
real network uses, a block of four for each test process.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


def ip(*words: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Cable:
    """The cable between this machine, at `address`, and the namespace."""

    def __init__(self) -> None:
        block = os.getpid() % 16_000
        high, low = 18 + block * 4 // 65_536, block * 4 % 65_536
        self._base = f"198.{high}.{low // 256}."
        self._last = low % 256
        self.name = f"fh{os.getpid()}"
        self.address = f"{self._base}{self._last + 1}"

    @property
    def inside(self) -> tuple[str, ...]:
        """Return what is put before a command to have it run behind the cable."""
        return ("ip", "netns", "exec", self.name)

    def make(self) -> None:
        """Make the namespace and connect it."""
        outer, inner = f"{self.name}o", f"{self.name}i"
        ip("netns", "add", self.name)
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self.name)
        ip("addr", "add", f"{self.address}/30", "dev", outer)
        ip("link", "set", outer, "up")
        for words in (
            ("addr", "add", f"{self._base}{self._last + 2}/30", "dev", inner),
            ("link", "set", inner, "up"),
            ("link", "set", "lo", "up"),
        ):
            ip("-n", self.name, *words)

    def pull(self) -> None:
        """Cut the connection: no packet passes and nobody is told."""
        ip("link", "set", f"{self.name}o", "down")

    def plug(self) -> None:
        """Put it back."""
        ip("link", "set", f"{self.name}o", "up")

    def remove(self) -> None:
        """Remove the namespace, and with it both interfaces."""
        subprocess.run(["ip", "link", "del", f"{self.name}o"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


@contextmanager
def cable() -> Iterator[Cable]:
    """Lay a cable inside a `with`.

    Raises:
        OSError: this machine does not let us.
    """
    made = Cable()
    try:
        made.make()
        yield made
    except subprocess.CalledProcessError as error:
        raise OSError(error.stderr.decode().strip()) from error
    finally:
        made.remove()
