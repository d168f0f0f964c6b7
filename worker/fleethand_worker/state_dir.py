"""The folder that a worker owns: private to its user, and held by one worker at a time."""

import os
import stat
from pathlib import Path

from fleethand_common.errors import FleethandError

if os.name == "posix":
    import fcntl


class StateDirError(FleethandError):
    """The state directory cannot be used."""

    code = "StateDirectory"


class StateDir:
    """A state directory that this process holds until it ends or `close` is called."""

    def __init__(self, path: Path) -> None:
        """Make *path* if needed, close it to others and take its lock.

        Raises:
            StateDirError: it cannot be made, is not ours, is a link, or another worker holds it.
        """
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check()
            path.chmod(0o700)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError as error:
            raise StateDirError(f"cannot use the state directory {path}: {error.strerror}") from error
        self._take()

    def _check(self) -> None:
        facts = os.lstat(self.path)
        if not stat.S_ISDIR(facts.st_mode):
            raise StateDirError(f"cannot use the state directory {self.path}: it is not a folder")
        if os.name == "posix" and facts.st_uid != os.geteuid():
            raise StateDirError(f"cannot use the state directory {self.path}: it belongs to another user")

    def _take(self) -> None:
        if os.name != "posix":
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StateDirError(
                f"cannot use the state directory {self.path}: another worker holds it; stop it or name another folder"
            ) from None

    def close(self) -> None:
        """Let another worker have it."""
        os.close(self._lock)
