"""From times on a zone's wall clock to moments: what becomes of a time that a clock change leaves out or repeats.

All times are whole seconds: moments since 1970 in UTC, *walls* likewise as if the wall clock's face were UTC's.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple

from fleethand_common import limits

DAY_S = 86_400
_LAST_YEAR = limits.CRON_YEAR_MAX + 1  # west of Greenwich, 2099 ends in UTC's 2100
_END_S = int(datetime(_LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp())


class _Span(NamedTuple):
    """A stretch of time in which a zone keeps one offset."""

    start_s: int
    end_s: int
    offset_s: int
    offset_before_s: int
    """Differs from `offset_s` if the clock was changed at the start."""


class _View(NamedTuple):
    """Moments from start to end whose walls are read with one offset."""

    start_s: int
    end_s: int
    offset_s: int


def first_moment_after(
    moment_s: int, zone: tzinfo, wall_after: Callable[[int], int | None], *, repeats: bool
) -> int | None:
    """Return the first moment after *moment_s* at which *zone*'s clock shows one of some walls, `None` if none is left.

    A wall that a clock change leaves out counts as much later as the gap is long: 02:30 is 03:30.

    Args:
        wall_after: returns the first of the walls after a given one.
        repeats: whether a wall that the clock shows twice counts twice, or only the first time.
    """
    wall_after = _remembering(wall_after)
    best: int | None = None
    for view in _views(moment_s, zone, repeats=repeats):
        if best is not None and view.start_s >= best:
            return best
        if view.end_s <= moment_s:
            continue
        wall = wall_after(max(moment_s, view.start_s - 1) + view.offset_s)
        if wall is None:
            if view.start_s > moment_s + DAY_S:  # before that, a repeated hour may still show an earlier wall
                return best
            continue
        found_s = wall - view.offset_s
        if found_s < view.end_s and (best is None or found_s < best):
            best = found_s
    return best


def _remembering(wall_after: Callable[[int], int | None]) -> Callable[[int], int | None]:
    """Ask no second time where the answer to the last question holds: a schedule fires rarely, clocks change often."""
    asked: int | None = None
    answer: int | None = None

    def remembering(wall_s: int) -> int | None:
        nonlocal asked, answer
        if asked is None or wall_s < asked or (answer is not None and wall_s >= answer):
            asked, answer = wall_s, wall_after(wall_s)
        return answer

    return remembering


def _views(moment_s: int, zone: tzinfo, *, repeats: bool) -> Iterator[_View]:
    """Yield, by start, the views that matter from *moment_s* on."""
    if isinstance(zone, timezone):
        yield _View(moment_s, _END_S, int(zone.utcoffset(None).total_seconds()))
        return
    first_s = moment_s - DAY_S  # the longest gap there was is a day: Samoa crossed the date line
    for year in range(datetime.fromtimestamp(first_s, UTC).year, _LAST_YEAR + 1):
        for span in _spans(zone, year):
            if span.end_s > first_s:
                yield from _views_of(span, repeats=repeats)


def _views_of(span: _Span, *, repeats: bool) -> Iterator[_View]:
    change_s = span.offset_s - span.offset_before_s
    if change_s > 0:
        yield _View(span.start_s, span.start_s + change_s, span.offset_before_s)
    repeated_s = max(0, -change_s)
    yield _View(span.start_s if repeats else span.start_s + repeated_s, span.end_s, span.offset_s)


@lru_cache(maxsize=8192)
def _spans(zone: tzinfo, year: int) -> tuple[_Span, ...]:
    """Return the spans of a UTC year; the standard library tells offsets, not when they change."""
    start_s = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    end_s = int(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp())
    changes = [start_s]
    for day_s in range(start_s, end_s, DAY_S):
        if _offset_s(zone, day_s) != _offset_s(zone, min(day_s + DAY_S, end_s - 1)):
            changes.append(_change_between(zone, day_s, day_s + DAY_S))
    return tuple(
        _Span(change_s, next_s, _offset_s(zone, change_s), _offset_s(zone, change_s - 1))
        for change_s, next_s in zip(changes, [*changes[1:], end_s], strict=True)
    )


def _change_between(zone: tzinfo, low_s: int, high_s: int) -> int:
    """Return the first second with the offset of *high_s*."""
    before = _offset_s(zone, low_s)
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        if _offset_s(zone, middle_s) == before:
            low_s = middle_s
        else:
            high_s = middle_s
    return high_s


def _offset_s(zone: tzinfo, moment_s: int) -> int:
    offset = datetime.fromtimestamp(moment_s, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
