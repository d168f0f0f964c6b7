"""Verbs that read the audit log."""

from collections.abc import Iterator
from pathlib import Path

from fleethand_common import clock
from fleethand_dispatcher import audit_checking
from fleethand_dispatcher.audit import AuditEntry
from fleethand_dispatcher.connection import guarded, guarded_iterator
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.trust_models import AuditRecord, AuditVerification


class AuditVerbs:
    """Who did what, and whether the log of it is whole."""

    _store: Store

    @guarded_iterator
    def iter_audit_log(self, *, since: int = 1, last: int | None = None) -> Iterator[AuditRecord]:
        """Yield entries, oldest first: those from number *since* on, of these only the *last* so many.

        They are what stands there; `verify_audit_log` tells whether it is what was written.
        """
        if last is not None:
            since = max(since, self._store.audit.records.end().sequence - last + 1)
        return (_shown(entry) for entry in self._store.audit.entries(since))

    @guarded
    def verify_audit_log(self, anchor: str | Path | None = None) -> AuditVerification:
        """Look for entries that were changed, put in, moved or taken away.

        Args:
            anchor: a file in which the head of the log is kept from one check to the next: only so can it be seen
                that entries are gone from its end. Keep it where whoever owns Redis cannot write.

        Raises:
            AnchorError: the file holds something else, or cannot be written.
        """
        path = None if anchor is None else Path(anchor)
        noted = None if path is None else audit_checking.read_anchor(path)
        found = audit_checking.check(self._store.audit, anchor=noted)
        if path is not None and found.ok and found.head is not None:
            audit_checking.write_anchor(path, found.head)
        return AuditVerification(
            ok=found.ok,
            count=found.count,
            first_bad=found.first_bad,
            reason=found.reason,
            head_sequence=found.head.sequence if found.head else 0,
            head_digest=found.head.digest if found.head else "",
        )


def _shown(entry: AuditEntry) -> AuditRecord:
    return AuditRecord(
        sequence=entry.sequence,
        time=clock.to_datetime(entry.at_ms),
        action=entry.action,
        actor=entry.actor,
        outcome=entry.outcome,
        targets=tuple(entry.targets),
        target_count=entry.target_count,
        digest=entry.digest,
        source=entry.source,
        detail=entry.detail,
        invoke_id=entry.invoke_id,
        previous=entry.previous,
    )
