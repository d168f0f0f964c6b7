"""`rate(5m)`: at a fixed distance from the schedule's creation on (spec 6.1)."""

import re
from dataclasses import dataclass

from fleethand_common import limits
from fleethand_dispatcher.api_errors import refusal

_FORM = re.compile(r"rate\s*\(\s*([0-9]+)\s*([smhd])\s*\)", re.IGNORECASE)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DIGITS_MAX = 9
"""No number that is longer can be within the bounds; it is not computed with."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A grid of moments: creation plus one interval, plus two, and so on."""

    interval_s: int

    def moment_after(self, moment_s: int, *, created_s: int) -> int:
        """Return the first of the grid after *moment_s*; the creation itself is not in the grid."""
        passed = (moment_s - created_s) // self.interval_s
        return created_s + max(passed + 1, 1) * self.interval_s


def parse_rate(text: str) -> Rate:
    """Read `rate(<n><s|m|h|d>)`, in any case, with spaces anywhere inside.

    Raises:
        RequestError: `InvalidRateExpression`, `RateFrequencyTooLarge`, or `InvalidParam.Frequency` below the minimum.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        problem = f"Cannot read {text[:100]!r}. Write rate(<number><unit>) with the unit s, m, h or d: rate(5m)."
        raise refusal("InvalidRateExpression", problem)
    digits = found[1].lstrip("0")
    if not digits:
        raise refusal("InvalidRateExpression", f"{text}: the number must be greater than 0.")
    interval_s = int(digits) * _UNIT_S[found[2].lower()] if len(digits) <= _DIGITS_MAX else limits.RATE_MAX_S + 1
    if interval_s > limits.RATE_MAX_S:
        problem = f"{text[:50]}: at most 7 days are allowed; cron can fire more rarely."
        raise refusal("RateFrequencyTooLarge", problem)
    if interval_s < limits.RATE_MIN_S:
        problem = f"{text}: an interval has at least {limits.RATE_MIN_S} seconds; cron can fire more often."
        raise refusal("InvalidParam.Frequency", problem)
    return Rate(interval_s)
