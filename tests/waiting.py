"""Waiting in tests: for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """Return the condition's first true value.

    Args:
        what: what is waited for, as the end of "did not see …".

    Raises:
        AssertionError: *timeout_s* passed; the last value stands in the message.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = 0.002
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not see {what} within {timeout_s} s; the last value was {value!r}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.05)
    return value
