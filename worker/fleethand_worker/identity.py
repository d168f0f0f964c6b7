"""What this host tells about itself."""

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

OsType = Literal["Linux", "Windows", "FreeBSD", "Darwin"]

_OS_TYPES: tuple[tuple[str, OsType], ...] = (("win32", "Windows"), ("freebsd", "FreeBSD"), ("darwin", "Darwin"))


def os_type() -> OsType:
    """Return the kind of system, as the API spells it."""
    return next((name for prefix, name in _OS_TYPES if sys.platform.startswith(prefix)), "Linux")


def os_version() -> str:
    """Return the system's name and version, such as `Debian GNU/Linux 12 (bookworm)`."""
    with suppress(OSError):
        for line in Path("/etc/os-release").read_text(errors="replace").splitlines():
            name, _, value = line.partition("=")
            if name == "PRETTY_NAME":
                return value.strip().strip("\"'")
    facts = os.uname() if hasattr(os, "uname") else None
    return f"{facts.sysname} {facts.release}" if facts else sys.platform


def time_zone() -> str:
    """Return the name of the host's time zone, an IANA name where one can be found."""
    if zone := os.environ.get("TZ"):
        return zone.lstrip(":")
    with suppress(OSError):
        target = os.path.realpath("/etc/localtime")
        if "/zoneinfo/" in target:
            return target.split("/zoneinfo/", 1)[1]
    with suppress(OSError):
        if name := Path("/etc/timezone").read_text().strip():
            return name
    return time.tzname[0]


def host_name() -> str:
    """Return this host's name."""
    return socket.gethostname()
