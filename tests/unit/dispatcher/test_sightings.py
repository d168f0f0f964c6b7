"""What a heartbeat proves, by what is known of its host."""

from typing import Any

import pytest

from fleethand_common.messages import Heartbeat
from fleethand_dispatcher.sightings import Ignored, Seen, Sighting, see

NOW = 1_800_000_000_000


def beat(at_ms: int = NOW, session: str = "s", **facts: Any) -> Heartbeat:
    """Return a heartbeat."""
    values: dict[str, Any] = {
        "interval_s": 30, "name": "", "os_type": "Linux", "os_version": "", "worker_version": "", "time_zone": "",
        "boot_id": "", **facts,
    }  # fmt: skip
    return Heartbeat(instance_id="a", at_ms=at_ms, session=session, **values)


def sessions(*names: str) -> Sighting:
    """Return what is known after heartbeats of these sessions, one a second."""
    known: Sighting | None = None
    for number, name in enumerate(names):
        outcome = see(known, beat(NOW + number * 1000, name), NOW + number * 1000)
        assert isinstance(outcome, Seen)
        known = outcome.sighting
    assert known is not None
    return known


@pytest.mark.parametrize(
    ("at_ms", "expected"),
    [
        (NOW - 1, Ignored.REPLAYED),
        (NOW, Ignored.REPLAYED),
        (NOW + 1, None),
        (NOW - 120_001, Ignored.STALE),
        (NOW + 120_001, Ignored.STALE),
    ],
)
def test_heartbeat_is_taken_only_if_it_is_of_now_and_the_latest(at_ms: int, expected: Ignored | None) -> None:
    """The same one twice is a replay."""
    outcome = see(Sighting(facts=beat(NOW)), beat(at_ms), NOW)

    assert expected == (outcome if isinstance(outcome, Ignored) else None)


def test_clock_of_the_server_that_was_set_back_keeps_no_host_offline() -> None:
    """The last heartbeat is then of the future; what comes after it is of an earlier time and is taken."""
    outcome = see(Sighting(facts=beat(NOW + 60_000)), beat(NOW), NOW)

    assert isinstance(outcome, Seen)


@pytest.mark.parametrize("history", ["a", "ab", "aab", "abcde"])
def test_host_that_was_started_again_is_no_clone(history: str) -> None:
    """Each start has a session of its own, and none comes back."""
    assert None is sessions(*history).cloned_at


@pytest.mark.parametrize("history", ["aba", "abca", "abcb", "abcdea"])
def test_session_that_comes_back_is_a_clone(history: str) -> None:
    """Two of them, or more, in turn."""
    assert sessions(*history).cloned_at == NOW + (len(history) - 1) * 1000


def test_when_it_was_cloned_stays_known_while_one_of_the_two_is_silent() -> None:
    """The trouble is not over because nobody speaks."""
    assert sessions(*"abaaaa").cloned_at == NOW + 2000


def test_late_heartbeat_of_a_session_that_ended_is_no_clone() -> None:
    """It was written before the next session began, and is brought by somebody."""
    assert see(sessions("a", "b"), beat(NOW + 500, "a"), NOW + 2000) is Ignored.REPLAYED
