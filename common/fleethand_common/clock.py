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
    """The control plane's time, as well as this process knows it; its own wall clock until it was told better.

    The server that tells the time may lie. What was signed at a time proves that this time has come, so nothing signed
    can be undone by a clock that is set back: it never tells less than `floor_ms`.
    """

    def __init__(self) -> None:
        self.floor_ms = 0
        self._base_ms = float(wall_ms())
        self._base_s = elapsed_s()

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970, UTC."""
        return max(self.floor_ms, int(self._base_ms + (elapsed_s() - self._base_s) * 1000))

    def raise_floor(self, at_ms: int) -> None:
        """Tell no time before *at_ms* any more."""
        self.floor_ms = max(self.floor_ms, at_ms)

    def set(self, server_ms: float, round_trip_s: float = 0.0) -> None:
        """Take over the server's time, which was read half a round trip ago."""
        self._base_ms = server_ms + round_trip_s * 500
        self._base_s = elapsed_s()
