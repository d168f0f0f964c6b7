"""Whether the audit log is whole: what was changed, put in, moved or taken out of it, and where."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from fleethand_common.errors import FleethandError
from fleethand_dispatcher.audit import CUT, AuditEntry, AuditEvent, AuditLog, decode_entry, digest_of
from fleethand_dispatcher.audit_records import StoredEntry


class Head(msgspec.Struct, frozen=True):
    """An entry by its number and digest: whoever has noted it can tell later whether the log still contains it."""

    sequence: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found out about a log."""

    count: int
    """Entries that are whole."""
    head: Head | None
    """The last entry that is whole; None in an empty log."""
    first_bad: int | None = None
    """The number of the first entry that is not as it was written, or is not there."""
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong."""
        return self.first_bad is None


class AnchorError(FleethandError):
    """Cannot use this file as an anchor of the audit log."""

    code = "AuditAnchor"


class Chain:
    """Follows the log entry by entry, from its beginning or from where it was cut."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self.head: Head | None = None
        self.first: AuditEntry | None = None
        self.cuts: set[Head] = set()
        """Entries up to which older ones may be gone, as later entries say."""

    def take(self, stored: StoredEntry) -> str:
        """Take the next entry; returns what is wrong with it, or nothing."""
        reason = self._reason(stored)
        if reason:
            return reason
        entry = decode_entry(stored.body)
        self.first = self.first or entry
        self.head = Head(entry.sequence, digest_of(stored.body))
        if entry.action == CUT:
            self.cuts.add(Head(int(entry.detail), entry.digest))
        return ""

    def _reason(self, stored: StoredEntry) -> str:
        if not self._log.is_marked(stored):
            return "it was not written by this control plane, or was changed"
        entry = decode_entry(stored.body)
        if entry.sequence != stored.sequence:
            return f"it is entry {entry.sequence} in another's place"
        if self.head is not None and entry.sequence != self.head.sequence + 1:
            return "it is missing" if entry.sequence > self.head.sequence else "another entry was put in its place"
        if self.head is not None and entry.previous != self.head.digest:
            return "it follows another entry than the one before it"
        return ""

    def reason_of_beginning(self) -> str:
        """Return what is wrong with where the log begins, or nothing."""
        first = self.first
        if first is None or first.sequence == 1 or Head(first.sequence - 1, first.previous) in self.cuts:
            return ""
        return "it is missing"


def check(log: AuditLog, *, anchor: Head | None = None) -> Verification:
    """Look at the whole log.

    Args:
        anchor: a head that was noted before: without one, it cannot be told whether entries are gone from the end.
    """
    chain = Chain(log)
    count, anchored = 0, anchor is None
    for stored in log.records.read(1):
        expected = chain.head.sequence + 1 if chain.head else stored.sequence
        reason = chain.take(stored)
        if reason:
            return Verification(count=count, head=chain.head, first_bad=expected, reason=reason)
        count += 1
        anchored = anchored or chain.head == anchor
    return _verdict(chain, count, None if anchored else anchor)


def _verdict(chain: Chain, count: int, missed: Head | None) -> Verification:
    if reason := chain.reason_of_beginning():
        return Verification(count=count, head=chain.head, first_bad=1, reason=reason)
    if missed is not None and not _is_cut_off(missed, chain):
        reason = "the log does not contain the entry that the anchor names: its end is gone, or it is another log"
        return Verification(count=count, head=chain.head, first_bad=missed.sequence, reason=reason)
    return Verification(count=count, head=chain.head)


def _is_cut_off(anchor: Head, chain: Chain) -> bool:
    """Tell whether the anchor's entry is so old that it was dropped, as the log itself says."""
    return chain.first is not None and anchor.sequence < chain.first.sequence


def read_anchor(path: Path) -> Head | None:
    """Return the head that was noted in a file; None if there is no such file yet.

    Raises:
        AnchorError: it holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise AnchorError(
            f"cannot use {path} as an anchor: {error}; name a file that an earlier check wrote"
        ) from error


def write_anchor(path: Path, head: Head) -> None:
    """Note a head for the next check.

    Raises:
        AnchorError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(msgspec.json.encode(head) + b"\n")
        temporary.replace(path)
    except OSError as error:
        raise AnchorError(f"cannot write the anchor {path}: {error.strerror}") from error


def drop_older(log: AuditLog, before_ms: int, *, actor: str) -> int:
    """Remove the entries from before a time, and say so in the log itself; returns how many.

    What says so makes the log whole although it does not begin at its beginning. Nothing is removed past an entry that
    is not as it was written, as that would hide it.
    """
    last = _whole_until(log, before_ms)
    if last is None:
        return 0
    log.append(AuditEvent(action=CUT, actor=actor, detail=str(last.sequence), digest=last.digest))
    return log.records.drop_before(last.sequence + 1)


def _whole_until(log: AuditLog, before_ms: int) -> Head | None:
    chain = Chain(log)
    last: Head | None = None
    for stored in log.records.read(1):
        if chain.take(stored) or decode_entry(stored.body).at_ms >= before_ms:
            break
        last = chain.head
    return last
