"""Waiting for something in Redis: until when, and what an outage of the server does to it."""

import time
from collections.abc import Callable
from typing import TypeVar

from fleethand_common import clock
from fleethand_common.errors import WaitTimeoutError
from fleethand_dispatcher.connection import BLOCK_S, SERVER_ERRORS, is_away

T = TypeVar("T")

_PATIENCE_S = 120.0
"""How long a wait puts up with a server that is away."""
_PAUSE_S = 0.5


class Deadline:
    """The end of a wait; None means that there is none."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._end_s = None if timeout_s is None else clock.elapsed_s() + timeout_s

    def left_s(self) -> float:
        """Return for how long the next read may block."""
        return BLOCK_S if self._end_s is None else max(0.0, min(BLOCK_S, self._end_s - clock.elapsed_s()))

    def check(self, invoke_id: str) -> None:
        """Raise `WaitTimeoutError` if the wait ran out."""
        if self._end_s is not None and clock.elapsed_s() >= self._end_s:
            waited = f"waited {self._timeout_s:g} s"
            raise WaitTimeoutError(f"cannot wait longer for {invoke_id}: {waited}; the invocation goes on")


def patiently(call: Callable[[], T], deadline: Deadline) -> T:
    """Return what *call* returns; while the server is away, try again."""
    give_up_s = clock.elapsed_s() + _PATIENCE_S
    while True:
        try:
            return call()
        except SERVER_ERRORS as error:
            if not is_away(error) or clock.elapsed_s() >= give_up_s or deadline.left_s() <= 0:
                raise
            time.sleep(min(_PAUSE_S, deadline.left_s()))
