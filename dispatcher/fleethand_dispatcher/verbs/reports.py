"""Verbs about what hosts reported: whether it can be believed, and what could not be used."""

from fleethand_common import clock
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.dead_reports import DeadReports
from fleethand_dispatcher.models import DeadReport, SecurityCount, Verification
from fleethand_dispatcher.reading import Reader
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.verification import Verifier


class ReportVerbs:
    """What an operator does with reports."""

    _store: Store
    _reader: Reader

    @guarded
    def verify_invocation(self, invoke_id: str) -> Verification:
        """Check that the records of an invocation are those that the control plane wrote.

        Every row, counter and output is read; what somebody else changed in Redis is among the findings.
        """
        return Verifier(self._store).verify(invoke_id, self._reader.head(invoke_id))

    @guarded
    def dead_reports(self, *, max_results: int = 50) -> list[DeadReport]:
        """Return the newest reports that were set aside, with the reason."""
        return DeadReports(self._store.client).newest(max_results)

    @guarded
    def drop_dead_reports(self) -> int:
        """Forget the reports that were set aside; returns how many there were."""
        return DeadReports(self._store.client).drop()

    @guarded
    def security_counts(self) -> list[SecurityCount]:
        """Return how often something did not look right, by kind: forged reports, what hosts refused, and the like."""
        counted = sorted(self._store.security.read().items())
        return [
            SecurityCount(kind=kind, times=each.times, last_at=clock.to_datetime(each.last_at_ms))
            for kind, each in counted
        ]
