"""The only place that asks the time.

`Clock` follows the control plane's clock: it is told the server's time now and then and goes on from there by a
counter that no one can set, so that a jump of the host's wall clock moves no deadline.
"""

import sys
import time
from datetime import UTC, datetime

_COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) if sys.platform != "win32" else None


def elapsed_s() -> float:
    """Return seconds on a counter that never jumps and goes on through suspend where the system has such a one."""
    return time.monotonic() if _COUNTER is None else time.clock_gettime(_COUNTER)


def wall_ms() -> int:
    """Return this machine's own idea of the time, in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def to_datetime(at_ms: int) -> datetime:
    """Turn milliseconds since 1970 into an aware UTC datetime."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def to_text(at_ms: int | None) -> str:
    """Format as the API does, `2026-01-31T23:59:59Z`; an event that has not happened is an empty string."""
    return "" if at_ms is None else to_datetime(at_ms).strftime("%Y-%m-%dT%H:%M:%SZ")


class Clock:
    """The control plane's time, as well as this process knows it; its own wall clock until it was told better."""

    def __init__(self) -> None:
        self._base_ms = float(wall_ms())
        self._base_s = elapsed_s()

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970, UTC."""
        return int(self._base_ms + (elapsed_s() - self._base_s) * 1000)

    def set(self, server_ms: float, round_trip_s: float = 0.0) -> None:
        """Take over the server's time, which was read half a round trip ago."""
        self._base_ms = server_ms + round_trip_s * 500
        self._base_s = elapsed_s()
