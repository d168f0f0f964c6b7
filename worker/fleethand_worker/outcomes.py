"""The reports of this host that no supervisor writes."""

from fleethand_common.clock import Clock
from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.messages import Accepted, Finished, Started
from fleethand_common.states import InstanceStatus
from fleethand_worker.journal import Entry


class Outcomes:
    """Makes reports in this host's name, by the control plane's clock."""

    def __init__(self, instance_id: str, clock: Clock) -> None:
        self._instance_id = instance_id
        self._clock = clock

    def now_ms(self) -> int:
        """Return the time that deadlines are measured with."""
        return self._clock.now_ms()

    def accepted(self, invocation_id: str) -> Accepted:
        """It is in the journal and waits."""
        return Accepted(instance_id=self._instance_id, invocation_id=invocation_id, at_ms=self.now_ms())

    def started(self, invocation_id: str, started_at_ms: int) -> Started:
        """It runs."""
        return Started(instance_id=self._instance_id, invocation_id=invocation_id, started_at_ms=started_at_ms)

    def cancelled(self, invocation_id: str) -> Finished:
        """It was stopped before it started."""
        return Finished(
            instance_id=self._instance_id,
            invocation_id=invocation_id,
            status=InstanceStatus.CANCELLED,
            finished_at_ms=self.now_ms(),
        )

    def refused(self, invocation_id: str, code: str, text: str | None = None) -> Finished:
        """It was not started and never will be."""
        facts = INSTANCE_ERRORS[InstanceErrorCode(code)]
        return Finished(
            instance_id=self._instance_id,
            invocation_id=invocation_id,
            status=facts.status,
            finished_at_ms=self.now_ms(),
            error_code=code,
            error_info=text or facts.info,
        )

    def lost(self, entry: Entry, code: InstanceErrorCode) -> Finished:
        """Its supervisor did not live to tell."""
        state = entry.state()
        return Finished(
            instance_id=self._instance_id,
            invocation_id=entry.invocation_id,
            status=INSTANCE_ERRORS[code].status,
            started_at_ms=state.started_at_ms if state else None,
            finished_at_ms=self.now_ms(),
            error_code=code,
            error_info=INSTANCE_ERRORS[code].info,
        )
