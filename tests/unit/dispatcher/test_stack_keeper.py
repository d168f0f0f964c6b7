"""When a part of the stack that ended is started again."""

from pathlib import Path

import pytest

from fleethand_dispatcher.stack import keeper
from fleethand_dispatcher.stack.components import Component
from fleethand_dispatcher.stack.data_dir import DataDir
from fleethand_dispatcher.stack.keeper import Kept
from waiting import wait_until


class Counter:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """The keeper's clock."""
    counter = Counter()
    monkeypatch.setattr(keeper, "elapsed_s", counter)
    return counter


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A component that fails at once."""
    data = DataDir(tmp_path / "data")
    data.create()
    return Kept(Component(name="broken", role="beat", argv=("sh", "-c", "exit 7"), environ={}), data)


def fail_once(kept: Kept) -> float:
    """Let it start and fail; returns the seconds until the next start."""
    assert kept.tend()
    assert kept.wait_s() is None
    wait_until(kept.tend, 10, "its end")
    wait_s = kept.wait_s()
    assert wait_s is not None
    return wait_s


def test_kept_waits_longer_after_each_failure_and_half_a_minute_at_most(kept: Kept, clock: Counter) -> None:
    """A part that cannot start must not eat the machine."""
    waits = []
    for _ in range(8):
        waits.append(fail_once(kept))
        clock.now_s += waits[-1]

    assert [0.5, 1, 2, 4, 8, 16, 30, 30] == waits


def test_kept_is_not_started_before_it_is_due(kept: Kept, clock: Counter) -> None:
    """Until then it counts as restarting."""
    wait_s = fail_once(kept)
    clock.now_s += wait_s - 0.1

    assert not kept.tend()
    assert ("restarting", 7, 1) == (kept.state().state, kept.state().exit_code, kept.state().restarts)


def test_kept_starts_anew_at_once_after_it_was_stable(kept: Kept, clock: Counter) -> None:
    """An end after a minute is not one more failure in a row."""
    for _ in range(4):
        clock.now_s += fail_once(kept)
    kept.tend()
    clock.now_s += 61
    wait_until(kept.tend, 10, "its end")

    assert 0.5 == kept.wait_s()
