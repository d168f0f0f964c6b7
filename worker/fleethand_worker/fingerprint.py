"""The fingerprint of this machine: what is read of it, and from where. When two are alike is in `fingerprints`."""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fleethand_common import fingerprints
from fleethand_common.limits import MACHINE_ID_CHARS

_MACHINE_IDS = ("etc/machine-id", "var/lib/dbus/machine-id")
_BOARD_NUMBERS = ("product_uuid", "product_serial", "board_serial")
_EMPTY = re.compile(
    r"[0\W_]*|[f\W_]*|03000200-0400-0500-0006-000700080009|.*(o\.?e\.?m|default|not spec|none|unknown).*", re.IGNORECASE
)
"""What makers write who number nothing: many machines have it."""
_CPU_FIELDS = ("model name", "Hardware", "Model", "cpu model", "Processor")


def machine_id(root: Path = Path("/")) -> str:
    """Return the system's machine id, or the board's number, or nothing where there is neither."""
    found = next((text for name in _MACHINE_IDS if (text := _read(root / name))), "")
    return (found or next(_board(root), "").rpartition(" ")[2])[:MACHINE_ID_CHARS].lower()


def take(root: Path = Path("/")) -> str:
    """Return the fingerprint of the machine whose file system is at *root*."""
    return fingerprints.write(
        {
            fingerprints.MACHINE: [text for name in _MACHINE_IDS[:1] if (text := _read(root / name))],
            fingerprints.BOARD: list(_board(root)),
            fingerprints.CPU: list(_cpu(root)),
            fingerprints.MAC: list(_addresses(root)),
            fingerprints.DISK: list(_root_disk(root)),
            fingerprints.HOST: [socket.gethostname()],
        }
    )


def _board(root: Path) -> Iterator[str]:
    """Yield the hardware's own number: the first there is, as a board has several or none."""
    for name in _BOARD_NUMBERS:
        text = _read(root / "sys/class/dmi/id" / name)
        if text and not _EMPTY.fullmatch(text):
            yield f"{name} {text.lower()}"
            return


def _cpu(root: Path) -> Iterator[str]:
    fields = (line.partition(":") for line in _read(root / "proc/cpuinfo").splitlines())
    known = {name.strip(): value.strip() for name, _, value in fields}
    yield from (known[name] for name in _CPU_FIELDS if known.get(name))


def _addresses(root: Path) -> Iterator[str]:
    """Yield the addresses of network cards; bridges, tunnels and the like come and go and have no device."""
    with suppress(OSError):
        for card in sorted((root / "sys/class/net").iterdir()):
            address = _read(card / "address")
            if (card / "device").exists() and address.strip("0:"):
                yield address.lower()


def _root_disk(root: Path) -> Iterator[str]:
    """Yield the id of the file system that the root folder is on."""
    with suppress(OSError):
        device = root.stat().st_dev
        for link in sorted((root / "dev/disk/by-uuid").iterdir()):
            with suppress(OSError):
                if link.stat().st_rdev == device:
                    yield link.name


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace").strip()
    return ""
