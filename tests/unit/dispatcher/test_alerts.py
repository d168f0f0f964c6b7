"""Alerts: each is counted, few are told."""

from collections.abc import Mapping

import pytest
import redis

from fleethand_dispatcher.alerts import PAUSE_S, TOLD_APART, Alert, Alerts
from fleethand_dispatcher.audit import AuditEvent


class Recorder:
    """Counters and a log that remember what was written, and a clock that a test moves."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.events: list[AuditEvent] = []
        self.now_s = 0.0
        self.alerts = Alerts(self, self.events.append, now_ms=lambda: 5, now_s=lambda: self.now_s)  # type: ignore[arg-type]

    def count(self, numbers: Mapping[str, int], at_ms: int) -> None:
        """Stand in for the records."""
        assert at_ms == 5
        self.counts = {kind: self.counts.get(kind, 0) + number for kind, number in numbers.items()} | {
            kind: number for kind, number in self.counts.items() if kind not in numbers
        }

    def add(self, actor: str = "a", reason: str = "Bad", times: int = 1) -> None:
        """Raise an alert so many times."""
        for _ in range(times):
            self.alerts.add(Alert("report.forged", reason, target=actor, detail="why"))


@pytest.fixture
def recorder() -> Recorder:
    """Alerts that tell nobody else."""
    return Recorder()


def test_first_alert_is_told_at_once_and_those_after_it_once_a_minute(recorder: Recorder) -> None:
    """With how many there were meanwhile; and nothing when there were none."""
    recorder.add(times=1000)
    recorder.alerts.flush()
    assert ["Bad: why"] == [event.detail for event in recorder.events]

    for _ in range(3):
        recorder.now_s += PAUSE_S
        recorder.alerts.flush()
    assert ["Bad: why", "Bad: why (999 times in a minute)"] == [event.detail for event in recorder.events]

    recorder.add()
    assert 3 == len(recorder.events)
    recorder.alerts.flush()
    assert {"report.forged:Bad": 1001} == recorder.counts


def test_invented_names_cannot_fill_the_log(recorder: Recorder) -> None:
    """Beyond so many hosts at once, the others are told together; each kind still is."""
    for number in range(5000):
        recorder.add(f"invented-{number}", reason=("Bad", "Worse")[number % 2])

    assert TOLD_APART + 2 == len(recorder.events)
    assert [[], []] == [list(event.targets) for event in recorder.events[-2:]]
    recorder.now_s += PAUSE_S
    recorder.alerts.flush()
    assert TOLD_APART + 4 == len(recorder.events)
    assert {"report.forged:Bad": 2500, "report.forged:Worse": 2500} == recorder.counts


def test_what_was_not_told_yet_is_told_at_the_end(recorder: Recorder) -> None:
    """An aggregator that is stopped leaves nothing unsaid."""
    recorder.add(times=4)
    recorder.alerts.flush(at_the_end=True)

    assert "Bad: why (3 times in a minute)" == recorder.events[-1].detail


def test_alert_that_could_not_be_told_is_told_when_the_server_is_well_again(recorder: Recorder) -> None:
    """The first one, when its report is read again; those after it, at the next flush."""
    tell = recorder.events.append

    def fail(_event: AuditEvent) -> None:
        raise redis.ConnectionError("away")

    recorder.alerts._tell = fail
    with pytest.raises(redis.ConnectionError):
        recorder.add()
    recorder.alerts._tell = tell
    recorder.add(times=3)
    assert ["Bad: why"] == [event.detail for event in recorder.events]

    recorder.now_s += PAUSE_S
    recorder.alerts._tell = fail
    with pytest.raises(redis.ConnectionError):
        recorder.alerts.flush()
    recorder.alerts._tell = tell
    recorder.alerts.flush()
    assert ["Bad: why", "Bad: why (2 times in a minute)"] == [event.detail for event in recorder.events]


def test_who_did_it_is_named_only_where_it_is_proven(recorder: Recorder) -> None:
    """A forgery names a victim, not the forger."""
    recorder.alerts.add(Alert("report.forged", "Bad", target="a"))
    recorder.alerts.add(Alert("host.refused", "Late", actor="a", outcome="refused"))

    told = [(event.actor, list(event.targets), event.outcome) for event in recorder.events]
    assert [("unknown", ["a"], "alert"), ("a", [], "refused")] == told
