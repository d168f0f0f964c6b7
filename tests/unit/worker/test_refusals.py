"""Telling of refused messages: each, up to a bound; beyond, how many."""

import pytest

from fleethand_common.clock import Clock
from fleethand_common.messages import Refusal, Refused, Report
from fleethand_worker import refusals
from fleethand_worker.refusals import PER_SECOND, Refusals


class Line:
    """A reporter whose line may be down."""

    def __init__(self) -> None:
        self.is_up = True
        self.told: list[Refused] = []

    def tell(self, report: Report) -> bool:
        """Take a report."""
        assert isinstance(report, Refused)
        if self.is_up:
            self.told.append(report)
        return self.is_up


@pytest.fixture
def line() -> Line:
    """A line that is up."""
    return Line()


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the module sees: the last one of the list."""
    times = [100.5]
    monkeypatch.setattr(refusals, "elapsed_s", lambda: times[-1])
    return times


def test_refusals_are_told_up_to_a_bound_and_then_counted(line: Line, now_s: list[float]) -> None:
    """The next second goes on, and says how many there were between."""
    told = Refusals("host-1", line, Clock())  # type: ignore[arg-type]
    for _ in range(PER_SECOND + 7):
        told.tell(Refusal.ALTERED, "altered", "t-1")
    assert (len(line.told), told.untold) == (PER_SECOND, 7)

    now_s.append(101.5)
    told.tell(Refusal.ALTERED, "altered", "t-2")

    assert (line.told[-1].detail, line.told[-1].invocation_id) == ("altered; 7 more before it", "t-2")
    assert told.untold == 0


def test_what_was_only_counted_is_told_when_the_flood_is_over(line: Line, now_s: list[float]) -> None:
    """At the next heartbeat; once."""
    told = Refusals("host-1", line, Clock())  # type: ignore[arg-type]
    for _ in range(PER_SECOND + 7):
        told.tell(Refusal.ALTERED, "altered")
    told.flush()
    assert len(line.told) == PER_SECOND

    now_s.append(101.5)
    for _ in range(3):
        told.flush()

    assert [report.detail for report in line.told[PER_SECOND:]] == ["too many at once to tell each; 7 more before it"]


def test_count_is_kept_while_the_line_is_down(line: Line, now_s: list[float]) -> None:
    """It is told when it can be."""
    told = Refusals("host-1", line, Clock())  # type: ignore[arg-type]
    for _ in range(PER_SECOND + 7):
        told.tell(Refusal.ALTERED, "altered")
    line.is_up = False
    now_s.append(101.5)
    told.flush()
    assert told.untold == 7

    line.is_up = True
    told.flush()

    assert line.told[-1].detail.endswith("7 more before it")
