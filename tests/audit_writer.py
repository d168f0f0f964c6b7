"""A program that appends to the audit log as fast as it goes: `audit_writer.py URL KEYS_DIR ACTOR COUNT`.

A negative count is for ever.
"""

import sys
from pathlib import Path

from fleethand_dispatcher.audit import AuditEvent
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.store import Store


def main(url: str, keys_dir: str, actor: str, count: str) -> None:
    """Append *count* entries."""
    store = Store.at(url, Keyring.load(Path(keys_dir)).vault)
    written = 0
    while written != int(count):
        written += 1
        store.audit.append(AuditEvent(action="act", actor=actor, detail=str(written)))


if __name__ == "__main__":
    main(*sys.argv[1:])
