"""What follows when a schedule is due: pure, from a definition, a standing and the time."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.commands import CommandType, Interpolation, TerminationMode
from fleethand_dispatcher.permit import Permit
from fleethand_dispatcher.rows import Snapshot
from fleethand_dispatcher.scheduling import definitions
from fleethand_dispatcher.scheduling.deciding import Bounds, Standing, Verdict, decide
from fleethand_dispatcher.scheduling.definitions import Aim, Definition
from fleethand_dispatcher.scheduling.memory import Decision, Memory
from fleethand_dispatcher.scheduling.occurrences import Outcome, is_decided, marked, waiting
from fleethand_dispatcher.scheduling.passing import jitter_ms
from fleethand_dispatcher.scheduling.policy import Misfire, Policy
from fleethand_dispatcher.vault import Vault

VAULT = Vault([bytes(32)])
OPERATORS = Permit(actor="operator", action="ecs:RunCommand")
BOUNDS = Bounds(grace_ms=30_000, catch_up_max=3, told_max=100)
MINUTE_MS = 60_000
BEGIN = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEGIN_MS = round(BEGIN.timestamp() * 1000)


def definition(frequency: str = "rate(1m)", paused_at: int | None = None, **policy: Any) -> Definition:
    """Return a schedule that began at BEGIN."""
    snapshot = Snapshot(
        command_id="c-1", command_name="", command_description="", command_type=CommandType.SHELL,
        command_content="true", enable_parameter=False, interpolation=Interpolation.TEXT, parameters={},
        secret_names=[], timeout_s=5, stop_grace_s=1, working_dir="", username="",
        termination_mode=TerminationMode.PROCESS_TREE, frequency=frequency,
    )  # fmt: skip
    return Definition(
        id="t-1", created_at=BEGIN_MS, snapshot=snapshot, parameters={}, aim=Aim(all_instances=True),
        policy=Policy(**policy), permit=OPERATORS, parameter_names=[], parameter_rules=[], kept=False,
        paused_at=paused_at,
    )  # fmt: skip


def verdict(
    found: Definition,
    *,
    after_ms: int,
    due_ms: int = MINUTE_MS,
    act_ms: int | None = None,
    fired: int = 0,
    frozen: str = "",
    zone: str = "",
) -> Verdict:
    """Decide so long after BEGIN; it was to be looked at when it was due, or at *act_ms*."""
    act = BEGIN_MS + (due_ms if act_ms is None else act_ms)
    return decide(found, zone, Standing(BEGIN_MS + due_ms, fired, act, frozen), BEGIN_MS + after_ms, BOUNDS)


def told(found: Verdict) -> list[tuple[int, str]]:
    """Return minutes after BEGIN and outcomes."""
    return [((o.due - BEGIN_MS) // MINUTE_MS, o.outcome) for o in found.occurrences]


def test_time_that_has_not_come_decides_nothing() -> None:
    """A look that comes too early moves nothing."""
    assert verdict(definition(), after_ms=MINUTE_MS - 1) == Verdict([], BEGIN_MS + MINUTE_MS, 0)


def test_times_within_the_grace_fire_one_by_one() -> None:
    """A beat that is a little late does what it should have done."""
    found = verdict(definition("0/10 * * * * ? * UTC"), due_ms=10_000, after_ms=35_000)

    assert [occurrence.due - BEGIN_MS for occurrence in found.occurrences] == [10_000, 20_000, 30_000]
    assert (found.fired, found.next_due) == (3, BEGIN_MS + 40_000)


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        (Misfire.SKIP, ["missed"] * 5),
        (Misfire.LATEST, ["missed"] * 4 + ["fired"]),
        (Misfire.ALL, ["missed"] * 2 + ["fired"] * 3),
    ],
)
def test_missed_times_follow_the_policy(misfire: Misfire, expected: list[str]) -> None:
    """Five times passed unseen; all at most three."""
    found = verdict(definition(misfire=misfire), after_ms=5 * MINUTE_MS + 31_000)

    assert [outcome for _, outcome in told(found)] == expected
    assert found.next_due == BEGIN_MS + 6 * MINUTE_MS


def test_latest_makes_up_for_nothing_when_a_newer_time_is_due_anyway() -> None:
    """Once is once."""
    found = verdict(definition(misfire=Misfire.LATEST), after_ms=5 * MINUTE_MS + 1_000)

    assert [outcome for _, outcome in told(found)] == ["missed"] * 4 + ["fired"]


def test_most_runs_are_reached_and_the_rest_is_not_told() -> None:
    """The last one is over; what would have come after it was never due."""
    found = verdict(definition(max_runs=3, misfire=Misfire.ALL), after_ms=5 * MINUTE_MS, fired=2)

    assert told(found)[-1][1] == "fired"
    assert (found.next_due, found.fired, found.occurrences[-1].over) == (None, 1, True)


def test_last_time_before_the_end_is_over() -> None:
    """An end date leaves no next time."""
    end = BEGIN_MS + MINUTE_MS + 1
    found = verdict(definition(end_at=end), after_ms=MINUTE_MS)

    assert (found.next_due, found.occurrences[-1].over) == (None, True)


def test_paused_wins_over_missed() -> None:
    """What would not have run anyway is not made up for."""
    found = verdict(definition(misfire=Misfire.ALL, paused_at=BEGIN_MS), after_ms=5 * MINUTE_MS)

    assert {outcome for _, outcome in told(found)} == {"paused"}


def test_run_that_jitter_puts_into_a_window_is_held_back() -> None:
    """What counts is when it would fire as much as when it is due."""
    window = f"{BEGIN + timedelta(minutes=2):%Y-%m-%d %H:%M}/{BEGIN + timedelta(hours=2):%Y-%m-%d %H:%M} UTC"
    found = definition("rate(1m)", jitter_s=3600, blackout=[window])
    act_ms = MINUTE_MS + jitter_ms(found, BEGIN_MS + MINUTE_MS)
    assert act_ms > 2 * MINUTE_MS, "the jitter is always the same; choose another id if this one puts nothing off"

    assert told(verdict(found, after_ms=act_ms))[0] == (1, "held back")


def test_time_that_is_not_the_schedules_own_fires_nothing() -> None:
    """The index cannot invent a run."""
    assert verdict(definition(), due_ms=90_000, after_ms=100_000) == Verdict((), BEGIN_MS + 2 * MINUTE_MS, 0)


def test_entry_of_a_time_zone_fires_nothing_of_a_schedule_that_has_none() -> None:
    """It would be a second run at the same time: its id holds the zone."""
    assert verdict(definition(), zone="UTC", after_ms=MINUTE_MS).occurrences == ()


def test_time_that_comes_during_a_freeze_is_held_back_and_told_once() -> None:
    """The schedule stays at its first time that was held back, so that what follows is as after an outage."""
    first = verdict(definition(), after_ms=MINUTE_MS, frozen="because")
    second = verdict(definition(), after_ms=3 * MINUTE_MS, act_ms=2 * MINUTE_MS, frozen="because")

    assert [(o.due - BEGIN_MS, o.outcome, o.reason) for o in first.occurrences] == [(MINUTE_MS, "held back", "because")]
    assert (first.next_due, first.act, first.fired) == (BEGIN_MS + MINUTE_MS, BEGIN_MS + 2 * MINUTE_MS, 0)
    assert told(second) == [(2, "held back"), (3, "held back")]
    assert (second.next_due, second.act) == (BEGIN_MS + MINUTE_MS, BEGIN_MS + 4 * MINUTE_MS)


def test_last_time_that_a_freeze_holds_back_does_not_end_the_schedule() -> None:
    """The policy decides after the freeze whether it is made up for."""
    found = verdict(definition(end_at=BEGIN_MS + MINUTE_MS + 1), after_ms=MINUTE_MS, frozen="because")

    assert (found.next_due, found.occurrences[0].over) == (BEGIN_MS + MINUTE_MS, False)


@given(st.integers(0, 10**6))
def test_jitter_is_below_its_bound_and_the_same_for_everyone(number: int) -> None:
    """Two beats agree about when a run must act."""
    found = definition(jitter_s=30)

    first, second = (jitter_ms(found, BEGIN_MS + number * MINUTE_MS) for _ in range(2))

    assert first == second
    assert 0 <= first < 30_000


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        (Misfire.SKIP, ["missed"] * 100),
        (Misfire.LATEST, ["missed"] * 99 + ["fired"]),
        (Misfire.ALL, ["missed"] * 97 + ["fired"] * 3),
    ],
)
@pytest.mark.parametrize("frequency", ["rate(1m)", "0/10 * * * * ? * UTC", "0 * * * * ? * Europe/Berlin"])
def test_newest_missed_times_count_however_many_there_are(
    misfire: Misfire, expected: list[str], frequency: str
) -> None:
    """A day passed unseen: what the policy makes up for is the newest, and one row tells of all that have none."""
    found = definition(frequency, misfire=misfire)
    first = found.next_after(BEGIN_MS)
    assert first is not None
    now_ms = BEGIN_MS + 86_400_000 + 6_000

    decided = decide(found, "", Standing(first, 0, first), now_ms, BOUNDS._replace(grace_ms=5_000))

    occurrences = decided.occurrences
    assert [o.outcome for o in occurrences] == expected
    assert occurrences[-1].due == now_ms - 6_000
    assert decided.next_due == found.next_after(occurrences[-1].due)
    assert all(found.next_after(a.due) == b.due for a, b in itertools.pairwise(occurrences))
    assert len(occurrences) == 100
    assert "all times since 2026-06-01T12:0" in occurrences[0].reason


def test_latest_is_made_up_for_when_a_window_holds_the_newer_ones_back() -> None:
    """What is held back does not run; of what was missed the newest does, once."""
    window = f"{BEGIN + timedelta(minutes=4):%Y-%m-%d %H:%M}/{BEGIN + timedelta(minutes=6):%Y-%m-%d %H:%M} UTC"
    found = verdict(definition(misfire=Misfire.LATEST, blackout=[window]), after_ms=6 * MINUTE_MS - 1)

    assert [outcome for _, outcome in told(found)] == ["missed"] * 3 + ["held back"] * 2
    found = verdict(
        definition("0 0-5 * * * ? * UTC", misfire=Misfire.LATEST, blackout=[window]), after_ms=7 * MINUTE_MS
    )
    assert [outcome for _, outcome in told(found)] == ["missed"] * 2 + ["fired"] + ["held back"] * 2


def test_newest_times_are_found_in_a_year_that_had_them_all_on_one_day() -> None:
    """The search does not depend on how evenly they came."""
    found = definition("0/10 * * 2 6 ? * UTC")
    first = found.next_after(BEGIN_MS)
    assert first is not None

    decided = decide(found, "", Standing(first, 0, first), BEGIN_MS + 300 * 86_400_000, BOUNDS)

    last = datetime(2026, 6, 2, 23, 59, 50, tzinfo=UTC)
    assert decided.occurrences[-1].due == round(last.timestamp() * 1000)
    assert len(decided.occurrences) == 100


def test_long_freeze_that_no_beat_saw_is_told_by_its_newest_times_and_one_row_for_the_rest() -> None:
    """Nothing is left out, and the next look is at the first time that is still to come."""
    found = verdict(definition(), after_ms=500 * MINUTE_MS, frozen="because")

    assert told(found) == [(minute, "held back") for minute in range(401, 501)]
    assert found.occurrences[0].reason == "because This row tells of all times since 2026-06-01T12:01:00Z."
    assert (found.next_due, found.act) == (BEGIN_MS + MINUTE_MS, BEGIN_MS + 501 * MINUTE_MS)


@given(st.integers(1, 200), st.integers(0, 400 * MINUTE_MS), st.sampled_from(Misfire), st.none() | st.integers(1, 20))
def test_no_time_is_lost_or_told_twice(due: int, late_ms: int, misfire: Misfire, most: int | None) -> None:
    """Whatever happened in between: each time is told once, in order, or the first row tells of the rest."""
    found = verdict(
        definition(misfire=misfire, max_runs=most), due_ms=due * MINUTE_MS, after_ms=due * MINUTE_MS + late_ms
    )

    minutes = [minute for minute, _ in told(found)]
    assert minutes == list(range(minutes[0], minutes[0] + len(minutes)))
    assert (minutes[0] > due) == ("This row tells of all times since" in found.occurrences[0].reason)
    assert found.fired <= (most or found.fired)
    if found.next_due is not None:
        assert found.next_due > BEGIN_MS + due * MINUTE_MS + late_ms
        assert minutes[-1] == due + late_ms // MINUTE_MS
        assert len(minutes) == min(late_ms // MINUTE_MS + 1, 100)


def test_definition_is_read_as_it_was_written() -> None:
    """One pair of functions, and nothing is lost between them."""
    found = definition(misfire=Misfire.ALL, blackout=["MON 09:00-17:00"], max_runs=3)

    assert definitions.decode(VAULT, "t-1", definitions.encode(VAULT, found)) == found


def test_definition_that_was_altered_or_is_another_schedules_is_not_read() -> None:
    """What does not open under the schedule's own id is never carried out."""
    sealed = definitions.encode(VAULT, definition())

    for schedule_id, text in (("t-2", sealed), ("t-1", sealed[:-1] + bytes([sealed[-1] ^ 1])), ("t-1", b"{}")):
        assert isinstance(definitions.decode(VAULT, schedule_id, text), definitions.Unreadable)


def test_mark_of_an_occurrence_is_of_all_that_it_says() -> None:
    """Another time, another host or another outcome was decided by nobody."""
    (found,) = verdict(definition(), after_ms=MINUTE_MS).occurrences
    genuine = marked(VAULT, found)

    assert is_decided(VAULT, genuine)
    for change in ({"due": genuine.due + 1}, {"only": "host-1"}, {"outcome": Outcome.HELD}, {"id": "t-2"}, {"at": 0}):
        assert not is_decided(VAULT, msgspec.structs.replace(genuine, **change))


def test_occurrence_that_waits_for_a_host_has_a_mark_for_that_host_alone() -> None:
    """The scripts that let it wait cannot make a mark, so they are given one for each host."""
    (found,) = verdict(definition(), after_ms=MINUTE_MS).occurrences
    marks = waiting(VAULT, msgspec.structs.replace(found, over=True), ["host-1", "host-2"])

    mine = msgspec.structs.replace(found, only="host-1", mark=marks["host-1"])
    assert is_decided(VAULT, mine)
    assert not is_decided(VAULT, msgspec.structs.replace(mine, only="host-2"))


def test_beat_remembers_what_it_decided() -> None:
    """An earlier time, or an earlier version of the schedule, was put back by somebody, or by a server that crashed."""
    decided: Memory[Decision] = Memory()
    decided.note("t-1", Decision(version=2, first=4_000, last=5_000, at=5_001))
    found = decided.last("t-1")
    assert found is not None

    times = ((2, 5_000), (2, 3_000), (1, 9_000), (2, 6_000), (3, 1))
    assert [found.covers(*each) for each in times] == [True, True, True, False, False]
    assert [found.can_be_made_again(*each, 600_000) for each in times] == [True, False, False, False, False]
    assert not found.can_be_made_again(2, 5_000, 605_002)
    assert decided.last("t-2") is None
