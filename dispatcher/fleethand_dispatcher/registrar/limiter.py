"""How often somebody may knock: a bucket of tokens for each key, which fills evenly."""

from collections import OrderedDict

_KEYS_KEPT = 20_000
"""The one that knocked longest ago is forgotten first; by then its bucket is full again, or somebody has many names."""


class RateLimiter:
    """Allows each key a number of requests a minute, all at once if it likes."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / 60
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str, now_s: float) -> float:
        """Count a request of *key*; returns 0 if it is allowed, else the seconds after which one will be."""
        tokens, at_s = self._buckets.pop(key, (self._most, now_s))
        tokens = min(self._most, tokens + (now_s - at_s) * self._per_second)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now_s)
        if len(self._buckets) > _KEYS_KEPT:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._per_second
