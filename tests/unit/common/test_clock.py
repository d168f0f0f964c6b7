"""The control plane's time on a host."""

from datetime import UTC, datetime

import pytest

from fleethand_common import clock
from fleethand_common.clock import Clock, to_datetime, to_text


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A counter and a wall clock that the test turns: `[counter in s, wall in ms]`."""
    hands = [100.0, 1_000_000.0]
    monkeypatch.setattr(clock, "elapsed_s", lambda: hands[0])
    monkeypatch.setattr(clock, "wall_ms", lambda: int(hands[1]))
    return hands


def test_clock_starts_with_the_wall_clock(counter: list[float]) -> None:
    """Until it was told better, a process believes its own machine."""
    assert Clock().now_ms() == 1_000_000


def test_clock_goes_on_with_the_counter(counter: list[float]) -> None:
    """Time passes as the counter counts."""
    told = Clock()
    told.set(5_000_000)
    counter[0] += 2.5

    assert told.now_ms() == 5_002_500


def test_clock_does_not_move_when_the_wall_clock_jumps(counter: list[float]) -> None:
    """Neither an administrator nor a time service moves a deadline."""
    told = Clock()
    told.set(5_000_000)
    counter[1] += 86_400_000

    assert told.now_ms() == 5_000_000


def test_clock_adds_half_a_round_trip(counter: list[float]) -> None:
    """The server read its clock half a round trip before we heard of it."""
    told = Clock()
    told.set(5_000_000, round_trip_s=0.2)

    assert told.now_ms() == 5_000_100


def test_elapsed_never_goes_back() -> None:
    """Two readings are in order."""
    assert clock.elapsed_s() <= clock.elapsed_s()


def test_text_is_as_the_api_writes_it() -> None:
    """Whole seconds, UTC, and an empty string for what has not happened."""
    assert to_text(1_769_903_999_999) == "2026-01-31T23:59:59Z"
    assert to_text(None) == ""


def test_datetime_is_aware_and_utc() -> None:
    """No time without a zone leaves this project."""
    assert to_datetime(1_500) == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
