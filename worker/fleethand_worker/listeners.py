"""Who wants to know how an execution goes, besides the control plane: Celery, and through it Flower."""

from typing import Protocol

from fleethand_common.instance_errors import InstanceErrorCode
from fleethand_common.messages import Finished


class Listener(Protocol):
    """Is told once that an execution started and once that it ended; not told its output or content."""

    def started(self, pid: int) -> None:
        """It runs, under the supervisor *pid*."""

    def ended(self, finished: Finished) -> None:
        """It is over, or was never begun."""


class _Nobody:
    def started(self, pid: int) -> None:
        """Do nothing."""

    def ended(self, finished: Finished) -> None:
        """Do nothing."""


NOBODY: Listener = _Nobody()


def summary(finished: Finished) -> str:
    """Return how it ended in a few words, such as `Failed: exit code 3`."""
    if finished.error_code == InstanceErrorCode.EXIT_CODE_NONZERO:
        return f"{finished.status}: exit code {finished.exit_code}"
    return f"{finished.status}: {finished.error_code}" if finished.error_code else str(finished.status)
