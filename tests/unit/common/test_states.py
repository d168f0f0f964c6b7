"""The table of transitions and the derivation of an invocation's status."""

from collections.abc import Sequence
from itertools import combinations_with_replacement, permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.states import (
    AFTER_LAST_RUN,
    AFTER_STOP,
    FAILED_KIND,
    INVOCATION_TERMINAL,
    LIVE,
    PRESUMABLE,
    REPLACES_PRESUMED,
    STOPPED_KIND,
    TERMINAL,
    TRANSITIONS,
    InstanceStatus,
    InvocationStatus,
    aggregate,
    is_allowed,
)

S = InstanceStatus

ENDINGS_OF_A_RUN = "Invalid Aborted Success Failed Error Timeout Cancelled Terminated"
EXPECTED = {
    S.PENDING: f"{ENDINGS_OF_A_RUN} Running Stopping Scheduled",
    S.SCHEDULED: f"{ENDINGS_OF_A_RUN} Running Stopping Stopped",
    S.RUNNING: f"{ENDINGS_OF_A_RUN} Stopping Scheduled",
    S.STOPPING: f"{ENDINGS_OF_A_RUN} Stopped",
}
"""Written out by hand, so that a change of the table is a decision and not a slip."""


def derived_slowly(statuses: Sequence[InstanceStatus]) -> InvocationStatus:
    """Derive as the overview's sentences say, one instance after the other."""
    for live in ("Pending", "Running", "Stopping", "Scheduled"):
        if any(status == live for status in statuses):
            return InvocationStatus(live)
    succeeded = sum(status == "Success" for status in statuses)
    failed = sum(status in ("Invalid", "Aborted", "Failed", "Timeout", "Error") for status in statuses)
    if succeeded == len(statuses):
        return InvocationStatus.SUCCESS
    if succeeded:
        return InvocationStatus.PARTIAL_FAILED
    return InvocationStatus.FAILED if failed else InvocationStatus.STOPPED


@pytest.mark.parametrize(("current", "following"), list(product(S, S)), ids=str)
def test_transition_is_allowed_when_the_table_says_so(current: S, following: S) -> None:
    """Every pair of statuses is either in the table or refused."""
    assert (following in EXPECTED.get(current, "").split()) == is_allowed(current, following)


@pytest.mark.parametrize(("current", "following"), list(product(S, S)), ids=str)
def test_presumed_status_is_replaced_when_the_host_says_running_or_how_it_ended(current: S, following: S) -> None:
    """A guess gives way to a run or an ending that the host reports; what is no possible guess follows the table."""
    if current in ("Aborted", "Error", "Cancelled"):
        expected = following == "Running" or following not in ("Pending", "Scheduled", "Stopping")
    else:
        expected = following in EXPECTED.get(current, "").split()

    assert expected == is_allowed(current, following, presumed=True)


def test_table_names_every_status() -> None:
    """No status is without a row, and no row leads to a status that is not one."""
    assert set(S) == set(TRANSITIONS)
    assert set(S) >= set().union(*TRANSITIONS.values())


def test_terminal_status_has_no_successor() -> None:
    """What a host reported as an end never changes."""
    assert all(not TRANSITIONS[status] for status in TERMINAL)
    assert all(TRANSITIONS[status] for status in LIVE)


def test_every_status_can_be_reached_and_can_end() -> None:
    """From Pending every other status can be reached, and from every live one an ending."""
    reached = {S.PENDING}
    while more := set().union(*(TRANSITIONS[status] for status in reached)) - reached:
        reached |= more

    assert set(S) == reached
    assert all(TRANSITIONS[status] & TERMINAL for status in LIVE)


def test_kinds_of_ending_share_no_status() -> None:
    """Each ending is exactly one of: success, failure, stop."""
    assert sorted(TERMINAL - FAILED_KIND - STOPPED_KIND) == [S.SUCCESS]
    assert not FAILED_KIND & STOPPED_KIND
    assert PRESUMABLE <= TERMINAL
    assert S.RUNNING in REPLACES_PRESUMED


@pytest.mark.parametrize("size", range(1, 5))
def test_aggregate_agrees_with_the_overview_for_every_mix(size: int) -> None:
    """Every mix of up to four statuses gives what the overview's sentences give."""
    for mix in combinations_with_replacement(S, size):
        assert derived_slowly(mix) == aggregate(mix), mix


def test_aggregate_does_not_depend_on_order() -> None:
    """The status of a batch is a property of the set of its instances' statuses."""
    for mix in combinations_with_replacement(S, 3):
        assert len({aggregate(order) for order in permutations(mix)}) == 1


@given(st.lists(st.sampled_from(S), min_size=1))
def test_aggregate_is_terminal_exactly_when_every_instance_is(statuses: list[S]) -> None:
    """A batch has finished when, and only when, nothing in it can change any more."""
    assert all(status in TERMINAL for status in statuses) == (aggregate(statuses) in INVOCATION_TERMINAL)


def test_aggregate_is_success_when_there_is_no_instance() -> None:
    """Of nothing, nothing was left undone."""
    assert aggregate([]) == InvocationStatus.SUCCESS


def test_aggregate_is_partial_failed_when_one_was_stopped_beside_a_success() -> None:
    """Decision 0001: stopped beside success is a mixed result."""
    assert aggregate([S.SUCCESS, S.TERMINATED]) == InvocationStatus.PARTIAL_FAILED


def test_schedule_ends_as_the_rules_say_for_every_way_its_last_run_can_end() -> None:
    """Success or Failed by the last run, Stopped if that was stopped; spec 5.2 and decision 0012."""
    assert set(AFTER_LAST_RUN) == set(AFTER_STOP) == TERMINAL
    assert {S.SUCCESS} == {status for status in TERMINAL if AFTER_LAST_RUN[status] == S.SUCCESS}
    assert set(FAILED_KIND) == {status for status in TERMINAL if AFTER_LAST_RUN[status] == S.FAILED}
    assert set(AFTER_STOP.values()) == {S.STOPPED, S.TERMINATED, S.ERROR}
    assert (AFTER_STOP[S.SUCCESS], AFTER_STOP[S.TERMINATED]) == (S.STOPPED, S.TERMINATED)


def test_schedule_can_reach_each_of_its_ends_from_where_it_waits() -> None:
    """Between two runs and while it is being stopped; a run that ends goes back to Scheduled first."""
    assert all(is_allowed(S.SCHEDULED, status) for status in AFTER_LAST_RUN.values())
    assert all(is_allowed(S.STOPPING, status) for status in AFTER_STOP.values())
    assert is_allowed(S.RUNNING, S.SCHEDULED)
