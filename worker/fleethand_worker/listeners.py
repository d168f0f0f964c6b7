"""Who wants to know how an execution goes, besides the control plane: Celery, and through it Flower."""

from typing import Protocol

from fleethand_common.messages import Finished


class Listener(Protocol):
    """Is told once that an execution started and once that it ended; not told its output or content."""

    def started(self, pid: int) -> None:
        """It runs, under the supervisor *pid*."""

    def ended(self, finished: Finished) -> None:
        """It is over, or was never begun."""


def summary(finished: Finished) -> str:
    """Return how it ended in a few words, such as `Failed: exit code 3`."""
    if finished.exit_code and not finished.error_code == "ExecutionTimeout":
        return f"{finished.status}: exit code {finished.exit_code}"
    return f"{finished.status}: {finished.error_code}" if finished.error_code else str(finished.status)
