"""The audit log: who did what, to which hosts, when and from where, in a chain that nobody can change unseen.

Each entry holds its number, the digest of the entry before it and a mark that only a holder of the vault's key can
make. Ids, actions and targets are readable; what a command says is never in it, only its digest.
`audit_checking` tells whether a log is whole.
"""

import getpass
import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

import msgspec

from fleethand_dispatcher.audit_records import AuditRecords, End, StoredEntry
from fleethand_dispatcher.vault import Vault

if TYPE_CHECKING:
    import redis

TARGETS_KEPT = 20
_KIND = "audit"
_DETAIL_CHARS = 500
_DIGEST_BYTES = 32
CUT = "audit.cut"
"""The action of an entry that says which older ones may be gone."""

Outcome = Literal["allowed", "denied", "refused", "alert"]


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must be told later."""

    action: str
    """`ecs:RunCommand` for a verb of the API; `host.refused` and the like for what nobody asked for."""
    actor: str
    """A principal's name, `operator` for a holder of the keyring, or an instance id."""
    outcome: Outcome = "allowed"
    """`denied` by a policy, `refused` by a rule or a host, `alert` if somebody should look."""
    targets: Sequence[str] = ()
    """All that it was done to; the log keeps the first 20 and their number."""
    digest: str = ""
    """Of what was to be run, as `digest_of` makes it."""
    source: str = ""
    """Where the actor was; without it, this process."""
    detail: str = ""
    invoke_id: str = ""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event in its place in the log."""

    sequence: int
    at_ms: int
    """By the server's clock."""
    previous: str
    """The digest of the entry before; empty for the first."""
    action: str
    actor: str
    outcome: str
    targets: list[str] = []
    target_count: int = 0
    digest: str = ""
    source: str = ""
    detail: str = ""
    invoke_id: str = ""


encode_entry = msgspec.json.Encoder().encode
decode_entry = msgspec.json.Decoder(AuditEntry).decode


class AuditLog:
    """Appends to the log of one server, from any number of processes at once, and reads it."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self.records = AuditRecords(client)
        self._vault = vault

    def append(self, event: AuditEvent, after: End | None = None) -> AuditEntry:
        """Add one event and return its entry; it is there when this returns.

        Args:
            after: where the log ended, if the caller has just read it; the entry then has the time of that.
        """
        return self.append_all([event], after)[0]

    def append_all(self, events: Sequence[AuditEvent], after: End | None = None) -> list[AuditEntry]:
        """Add events in one step, in their order; *after* is as for `append`."""
        end: End | None = (after or self.records.end()) if events else None
        entries: list[AuditEntry] = []
        while end is not None:  # somebody else's entry was there first: chain ours to it
            entries, stored = self._chained(events, end)
            end = self.records.append(end, stored)
        return entries

    def entries(self, since: int = 1, until: int | None = None) -> Iterator[AuditEntry]:
        """Yield the entries from number *since* on, as they stand there.

        Raises:
            msgspec.DecodeError: one is no entry; `audit_checking.check` tells which.
        """
        return (decode_entry(stored.body) for stored in self.records.read(since, until))

    def is_marked(self, stored: StoredEntry) -> bool:
        """Tell whether a holder of the vault's key wrote this entry."""
        return self._vault.is_mark(stored.mark.decode("ascii", "replace"), _KIND, digest_of(stored.body))

    def _chained(self, events: Sequence[AuditEvent], end: End) -> tuple[list[AuditEntry], list[StoredEntry]]:
        entries: list[AuditEntry] = []
        stored: list[StoredEntry] = []
        previous = digest_of(end.body) if end.body else ""
        for sequence, event in enumerate(events, start=end.sequence + 1):
            entry = _entry(event, sequence, previous, end.now_ms)
            body = encode_entry(entry)
            entries.append(entry)
            previous = digest_of(body)
            stored.append(StoredEntry(sequence, body, self._vault.mark(_KIND, previous).encode()))
        return entries, stored


def digest_of(*parts: bytes) -> str:
    """Return the digest of an entry, or of what a command says and its parameters."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def here() -> str:
    """Return where this process is: its user, host and number."""
    return f"{_user_and_host()} pid {os.getpid()}"


@cache
def _user_and_host() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "?"
    return f"{user}@{socket.gethostname()}"


def _entry(event: AuditEvent, sequence: int, previous: str, at_ms: int) -> AuditEntry:
    return AuditEntry(
        sequence=sequence,
        at_ms=at_ms,
        previous=previous,
        action=event.action,
        actor=event.actor,
        outcome=event.outcome,
        targets=list(event.targets[:TARGETS_KEPT]),
        target_count=len(event.targets),
        digest=event.digest,
        source=event.source or here(),
        detail=event.detail[:_DETAIL_CHARS],
        invoke_id=event.invoke_id,
    )
