"""The transition table against the script that enforces it: every pair of statuses, by everyone who can ask."""

import itertools

import pytest

from fleethand_common.states import LIVE, TERMINAL, TRANSITIONS, InstanceStatus, is_allowed
from fleethand_dispatcher import keys
from fleethand_dispatcher.changes import Change, presumption
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.store import Store
from recorded import everything, record

PAIRS = list(itertools.product(InstanceStatus, InstanceStatus))


@pytest.fixture
def store(redis_url: str, keyring: Keyring) -> Store:
    """The records of an empty server."""
    return Store.at(redis_url, keyring.vault)


def attempt(store: Store, change: Change, current: InstanceStatus, *, presumed: bool) -> bool:
    """Apply a change to a row in *current*; returns whether it changed the status, and checks all that must follow."""
    invoke_id = record(store, {"i": current}, presumed=presumed)
    before = everything(store, invoke_id)

    ((old, new),) = store.invocations.apply({invoke_id: [(change, "")]})[invoke_id]

    after = everything(store, invoke_id)
    moved = len(after["events"]) > len(before["events"])
    if moved:
        assert (old, new) == (current, change.to)
        assert len(after["events"]) == 1
        row = store.invocations.row(invoke_id, "i")
        assert (row.status, row.presumed) == (change.to, change.presumed)
        assert store.invocations.seal.is_authentic(invoke_id, "i", row)
        assert (row.mark != "") == (change.to in TERMINAL)
        assert store.invocations.counts(invoke_id) == {change.to: 1}
        assert store.invocations.head(invoke_id).unfinished == (change.to in LIVE)
        assert (after["unfinished"] is not None) == (change.to in LIVE)
        if change.to in TERMINAL:
            assert (after["watch"], after["open"]) == ([], {"i": None})
    else:
        assert (old, new) == (current, current)
        assert before == after
    return moved


@pytest.mark.parametrize("presumed", [False, True])
def test_report_changes_a_status_exactly_when_the_table_allows_it(store: Store, *, presumed: bool) -> None:
    """All 169 pairs by the host's word, over a truth and over a guess; a refused one leaves everything as it was."""
    moved = {
        (current, following)
        for current, following in PAIRS
        if attempt(store, Change(i="i", kind="finished", to=following, at=5), current, presumed=presumed)
    }

    assert moved == {pair for pair in PAIRS if is_allowed(*pair, presumed=presumed)}


@pytest.mark.parametrize("presumed", [False, True])
def test_presumption_changes_a_status_exactly_when_the_table_allows_it(store: Store, *, presumed: bool) -> None:
    """The control plane's guess never replaces a terminal status, not even its own earlier guess."""
    moved = {
        (current, following)
        for current, following in PAIRS
        if attempt(store, presumption("i", current, None, "", at_ms=7, to=following), current, presumed=presumed)
    }

    assert moved == {pair for pair in PAIRS if pair[1] in TRANSITIONS[pair[0]]}


def test_presumption_about_another_status_changes_nothing(store: Store) -> None:
    """A guess holds only for the status that it was made about; what came in between is newer."""
    wrong = [
        (current, about)
        for current, about in PAIRS
        if current != about
        and attempt(store, presumption("i", about, None, "", at_ms=7, to=InstanceStatus.ERROR), current, presumed=False)
    ]

    assert [] == wrong


def test_started_changes_a_status_exactly_when_the_table_allows_it(store: Store) -> None:
    """Running follows Pending, Scheduled and a guess; a stop that waits for the host is not undone by a start."""
    change = Change(i="i", kind="started", to=InstanceStatus.RUNNING, at=5, watch_after_ms=1000)

    for presumed in (False, True):
        for current in set(InstanceStatus) - {InstanceStatus.STOPPING}:
            expected = is_allowed(current, InstanceStatus.RUNNING, presumed=presumed)
            assert expected == attempt(store, change, current, presumed=presumed), (current, presumed)

    invoke_id = record(store, {"i": InstanceStatus.STOPPING})
    assert store.invocations.apply({invoke_id: [(change, "")]})[invoke_id] == [("Stopping", "Stopping")]
    assert store.invocations.row(invoke_id, "i").started_at == 5


@pytest.mark.parametrize(("sent_count", "expected"), [(0, "Cancelled"), (1, "Stopping")])
def test_stop_withdraws_what_was_not_sent_and_asks_for_the_rest(store: Store, sent_count: int, expected: str) -> None:
    """From every live status but Stopping; nothing else is touched."""
    for current in InstanceStatus:
        invoke_id = record(store, {"i": current}, sent_count=sent_count)
        before = everything(store, invoke_id)
        change = Change(i="i", kind="stop", at=7, watch_after_ms=1000)

        ((old, new),) = store.invocations.apply({invoke_id: [(change, "")]})[invoke_id]

        if InstanceStatus.STOPPING in TRANSITIONS[current]:
            assert (old, new) == (current, expected)
            is_open = store.client.zscore(keys.instance_open("i"), invoke_id) is not None
            assert is_open == (expected == "Stopping")
        else:
            assert (old, new) == (current, current)
            assert before == everything(store, invoke_id)


@pytest.mark.parametrize("kind", ["sent", "accepted", "later"])
def test_marks_on_a_finished_row_change_nothing(store: Store, kind: str) -> None:
    """What is over is not looked at again, and not sent again."""
    for current in sorted(TERMINAL):
        change = Change(i="i", kind=kind, at=5, watch_at=1, detail="x")
        assert not attempt(store, change, current, presumed=False)


def test_change_of_an_instance_that_is_no_target_is_answered_and_changes_nothing(store: Store) -> None:
    """The answer is a pair of empty texts, so that the report can be set aside."""
    invoke_id = record(store, {"i": InstanceStatus.PENDING})
    before = everything(store, invoke_id)
    change = Change(i="other", kind="finished", to=InstanceStatus.SUCCESS, at=5)

    assert store.invocations.apply({invoke_id: [(change, "")]}) == {invoke_id: [("", "")]}

    assert before == everything(store, invoke_id)


def test_aborted_is_refused_when_the_host_had_started_it(store: Store) -> None:
    """A host that has forgotten what it ran refuses the order; that it ran is the better knowledge."""
    invoke_id = record(store, {"i": InstanceStatus.RUNNING}, started_at=5)
    before = everything(store, invoke_id)
    change = Change(i="i", kind="finished", to=InstanceStatus.ABORTED, at=9)

    assert store.invocations.apply({invoke_id: [(change, "")]})[invoke_id] == [("Running", "Running")]

    assert before == everything(store, invoke_id)
