"""A handle on one invocation: wait for it, follow it, read it, stop it, run what failed again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher.models import (
    InvocationEvent,
    InvocationRecord,
    InvocationResult,
    ScheduledRun,
    StopDisposition,
)

if TYPE_CHECKING:
    from fleethand_dispatcher.dispatcher import Dispatcher

RETRY_BY_DEFAULT = (
    InstanceStatus.INVALID,
    InstanceStatus.ABORTED,
    InstanceStatus.FAILED,
    InstanceStatus.ERROR,
    InstanceStatus.TIMEOUT,
)


class Invocation:
    """One request to run a command on targets; it goes on whether or not this object lives.

    `invoke_id` is empty for a dry run, of which nothing is recorded.
    """

    def __init__(self, dispatcher: "Dispatcher", invoke_id: str, command_id: str) -> None:
        self._dispatcher = dispatcher
        self.invoke_id = invoke_id
        self.command_id = command_id

    def __repr__(self) -> str:
        return f"Invocation({self.invoke_id!r})"

    @property
    def status(self) -> InvocationStatus:
        """The invocation's status now; costs the same for any number of instances."""
        return self._dispatcher.invocation_status(self.invoke_id)

    @property
    def counts(self) -> Mapping[InstanceStatus, int]:
        """Instances per status now."""
        return self.record().counts

    def record(self) -> InvocationRecord:
        """Return the whole record as it stands."""
        return self._dispatcher.describe_invocation(self.invoke_id)

    def wait(self, timeout_s: float | None = None) -> InvocationRecord:
        """Block until every instance has finished.

        Raises:
            WaitTimeoutError: *timeout_s* ran out; the invocation goes on.
        """
        return self._dispatcher.wait(self.invoke_id, timeout_s)

    def follow(self, timeout_s: float | None = None) -> Iterator[InvocationEvent]:
        """Yield what happens, from the beginning, until every instance has finished.

        Raises:
            WaitTimeoutError: *timeout_s* ran out; the invocation goes on.
        """
        return self._dispatcher.follow(self.invoke_id, timeout_s)

    def results(self, statuses: Sequence[str] | None = None) -> Iterator[InvocationResult]:
        """Yield the result of each instance, in the order in which they were targeted."""
        return self._dispatcher.iter_results(self.invoke_id, statuses=statuses)

    def runs(self, max_results: int = 50) -> list[ScheduledRun]:
        """Return what became of the latest times at which a schedule was due, newest first."""
        return self._dispatcher.describe_schedule_runs(self.invoke_id, max_results=max_results)

    def stop(self, instance_ids: Sequence[str] = ()) -> dict[str, StopDisposition]:
        """Stop it on all instances, or on the chosen ones."""
        return self._dispatcher.stop_invocation(self.invoke_id, instance_ids=instance_ids)

    def retry(self, only: Sequence[str] = RETRY_BY_DEFAULT) -> "Invocation":
        """Run the same command again on just the instances whose status is one of *only*."""
        return self._dispatcher.retry_invocation(self.invoke_id, only=only)
