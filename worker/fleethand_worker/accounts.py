"""The user that a script runs as, found through the passwd and group databases, never through a shell."""

import functools
import os
import sys
from dataclasses import dataclass

from fleethand_common.errors import ExecutionError
from fleethand_common.instance_errors import InstanceErrorCode

if sys.platform != "win32":
    import pwd


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user of this host; `is_own` tells that it is the one the worker runs as."""

    name: str
    uid: int
    gid: int
    home: str
    login_shell: str
    is_own: bool

    def groups(self) -> list[int]:
        """Return all groups of the user, its primary one too."""
        return os.getgrouplist(self.name, self.gid)


@functools.cache
def own_account() -> Account:
    """Return the worker's own account, looked up once, so that a supervisor finds it in the memory it came with."""
    own = os.geteuid()
    try:
        return _account(pwd.getpwuid(own))
    except KeyError:
        # A container may run under a uid that no database knows.
        return Account(name=str(own), uid=own, gid=os.getegid(), home="/", login_shell="/bin/sh", is_own=True)


def find_account(username: str) -> Account:
    """Return the account called *username*; an empty name is the worker's own.

    Raises:
        ExecutionError: `AccountNotExists`.
    """
    if not username:
        return own_account()
    try:
        return _account(pwd.getpwnam(username))
    except (KeyError, ValueError):
        raise ExecutionError(
            InstanceErrorCode.ACCOUNT_NOT_EXISTS, f"cannot run as {username!r}: there is no such user"
        ) from None


def _account(entry: "pwd.struct_passwd") -> Account:
    return Account(
        name=entry.pw_name,
        uid=entry.pw_uid,
        gid=entry.pw_gid,
        home=entry.pw_dir,
        login_shell=entry.pw_shell or "/bin/sh",
        is_own=entry.pw_uid == os.geteuid(),
    )
