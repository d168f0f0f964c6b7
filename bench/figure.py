"""One measured figure, what runs beside it, and what we want of it."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Figure(NamedTuple):
    """A row of the table. `beside` names what was measured in the same run, `ratio` says how we compare."""

    what: str
    value: str
    goal: str = ""
    beside: str = ""
    ratio: str = ""


def median_s(call: Callable[[], object], *, runs: int, warmup: int = 1) -> float:
    """Return the median duration of a call in seconds."""
    for _ in range(warmup):
        call()
    durations = []
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        durations.append(time.perf_counter() - begin)
    return statistics.median(durations)


def ms(seconds: float) -> str:
    """Format a duration."""
    return f"{seconds * 1000:.2f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


def times(ratio: float) -> str:
    """Format how many times faster or smaller."""
    return f"{ratio:.1f} x"
