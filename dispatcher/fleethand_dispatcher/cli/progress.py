"""How far an invocation is, on stderr, for a person who waits: a bar, if there is something to wait for."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fleethand_common.states import TERMINAL, InstanceStatus
from fleethand_dispatcher.cli import colour

if TYPE_CHECKING:
    from rich.progress import Progress

_APPEARS_AFTER_S = 0.5
"""A quick command neither flickers nor pays for the import of the bar."""


class Bar:
    """Counts hosts that have finished; draws nothing if stderr is no terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done: set[str] = set()
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._timer = threading.Timer(_APPEARS_AFTER_S, self._appear)
        self._timer.daemon = True

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar while the block runs."""
        if colour.is_terminal(sys.stderr):
            self._timer.start()
        try:
            yield
        finally:
            self._timer.cancel()
            with self._lock:
                self._total = -1
                if self._progress is not None:
                    self._progress.stop()

    def saw(self, instance_id: str, status: InstanceStatus) -> None:
        """Take a host's new status."""
        if status in TERMINAL:
            self._done.add(instance_id)
            if self._progress is not None:
                self._progress.update(self._progress.task_ids[0], completed=len(self._done))

    def _appear(self) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("hosts"), TimeElapsedColumn())
        with self._lock:
            if self._total < 0:
                return
            self._progress = Progress(
                *columns,
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=colour.is_terminal(sys.stdout),  # lines go above the bar; a pipe stays untouched
                redirect_stderr=True,
            )
            self._progress.add_task("", total=self._total, completed=len(self._done))
            self._progress.start()
