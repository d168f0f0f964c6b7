"""Fingerprints of machines: how one is written, and when two are of the same machine.

A fingerprint is text, `1 board=… cpu=… mac=…,…`: names of items, each with the short hashes of its values. It lies in
the host's own files and, sealed, in the control plane's records; the hashes keep serial numbers out of both.
"""

import hashlib
from collections.abc import Mapping, Sequence

_VERSION = "1"
_HASH_BYTES = 5

MACHINE = "machine"
"""The system's machine id; a copied disk has the same."""
BOARD = "board"
"""The hardware's own number (DMI); only root can read it. A machine that has another one is another machine."""
MAC = "mac"
"""Addresses of the physical network cards."""
CPU = "cpu"
DISK = "disk"
"""The file system that `/` is on; a copied disk has the same."""
HOST = "host"

_REST = (CPU, MAC, DISK, HOST)
_SHARE_NEEDED = 0.4
"""How much of the rest must be as it was. Spec, host-agent.md section 10; the same as the agents there."""


def write(items: Mapping[str, Sequence[str]]) -> str:
    """Return the fingerprint of what was found on a machine; an item without a value is left out."""
    parts = [f"{name}={','.join(sorted(map(_hash, set(items[name]))))}" for name in sorted(items) if items[name]]
    return " ".join((_VERSION, *parts))


def same_machine(before: str, now: str) -> bool:
    """Tell whether two fingerprints are of one machine; what only one of them has does not count.

    | board | network cards | then |
    |---|---|---|
    | equal | any | the same: a new system, kernel, disk, network or name changes nothing about it |
    | differs | one in common | the same: the board was replaced |
    | differs | none in common | another machine |
    | unknown | any | the same if the machine id is and 40 % of processor, cards, disk and host name are |
    """
    old, new = _read(before), _read(now)
    if old is None or new is None:
        return True
    board, mac = _agree(old, new, BOARD), _agree(old, new, MAC)
    if board is not None:
        return board or mac is True
    if _agree(old, new, MACHINE) is False:
        return False
    rest = [agrees for name in _REST if (agrees := _agree(old, new, name)) is not None]
    return not rest or sum(rest) / len(rest) >= _SHARE_NEEDED


def differences(before: str, now: str) -> list[str]:
    """Return the names of the items that both have and that have nothing in common."""
    old, new = _read(before) or {}, _read(now) or {}
    return [name for name in sorted(old) if _agree(old, new, name) is False]


def _agree(old: Mapping[str, frozenset[str]], new: Mapping[str, frozenset[str]], name: str) -> bool | None:
    """Tell whether an item has a value in common; None if one side does not know it."""
    if name not in old or name not in new:
        return None
    return bool(old[name] & new[name])


def _read(text: str) -> dict[str, frozenset[str]] | None:
    version, *parts = text.split(" ")
    if version != _VERSION:
        return None
    pairs = (part.partition("=") for part in parts)
    return {name: frozenset(values.split(",")) for name, _, values in pairs if values}


def _hash(value: str) -> str:
    return hashlib.blake2b(value.encode(), person=b"fleethand finger", digest_size=_HASH_BYTES).hexdigest()
