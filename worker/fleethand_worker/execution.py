"""One execution as the worker sees it while it waits or runs."""

import os
from contextlib import suppress
from dataclasses import dataclass

from fleethand_common.messages import ExecutionOrder
from fleethand_worker.journal import Entry
from fleethand_worker.listeners import Listener


@dataclass(eq=False, kw_only=True)
class Execution:
    """An execution that has not ended; `fd` tells how its supervisor is doing, and -1 that it has to be asked."""

    entry: Entry
    order: ExecutionOrder
    listener: Listener
    pid: int = 0
    fd: int = -1
    is_own_child: bool = False
    started_at_ms: int | None = None
    sent_bytes: int = 0

    @property
    def invocation_id(self) -> str:
        """Return the invocation that it belongs to."""
        return self.order.invocation_id

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd >= 0:
            with suppress(OSError):
                os.close(self.fd)
            self.fd = -1
