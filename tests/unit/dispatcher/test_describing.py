"""From rows to answers: why something waits, what its story is, whose output is shown."""

from datetime import UTC, datetime

import pytest

from fleethand_common.states import LIVE, InstanceStatus, InvocationStatus, aggregate
from fleethand_dispatcher import describing
from fleethand_dispatcher.rows import Head, Row
from recorded import SNAPSHOT

HEAD = Head(snapshot=SNAPSHOT, created_at=1000, deliver_before=61_000, total=1, unfinished=1, counts={})


def row(status: InstanceStatus = InstanceStatus.PENDING, **values) -> Row:
    """Return a row."""
    return Row(**{"status": status, "created_at": 1000, "updated_at": 2000, "sent_count": 0, "steps": [], **values})


@pytest.mark.parametrize(
    ("values", "seen_ms", "expected"),
    [
        ({}, None, "waiting, never seen"),
        ({}, 5000, "waiting, last seen 1970-01-01T00:00:05Z"),
        ({"sent_count": 1}, 5000, "sent, waiting for the host to take it"),
        ({"sent_count": 1, "accepted_at": 3}, 5000, "taken by the host, waiting for a free place"),
    ],
)
def test_pending_row_says_what_it_waits_for(values: dict[str, int], seen_ms: int | None, expected: str) -> None:
    """Each of the four reasons has its own words."""
    result = describing.result("t-1", "i", row(**values), HEAD, output="", authentic=True, seen_ms=seen_ms)

    assert expected == result.waiting


def test_only_a_pending_row_waits() -> None:
    """Of all others the status says enough."""
    for status in set(InstanceStatus) - {InstanceStatus.PENDING}:
        assert describing.result("t-1", "i", row(status), HEAD, output="", authentic=True, seen_ms=1).waiting == ""


def test_times_are_utc_and_none_where_nothing_happened() -> None:
    """Milliseconds become aware datetimes."""
    result = describing.result("t-1", "i", row(started_at=1500), HEAD, output="", authentic=True)

    assert datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC) == result.start_time
    assert (result.finished_time, result.stop_time) == (None, None)


def test_steps_are_told_in_time_and_equal_times_in_the_order_of_arrival() -> None:
    """A host's own times and the server's stand in one list."""
    story = row(steps=[(5, "created", ""), (9, "Success", ""), (7, "Running", ""), (7, "accepted", "")])

    assert [step.what for step in describing.steps(story)] == ["created", "Running", "accepted", "Success"]


def test_status_of_an_invocation_is_the_aggregate_of_its_counts() -> None:
    """For every pair of statuses; nothing stores it."""
    for first in InstanceStatus:
        for second in InstanceStatus:
            head = Head(
                snapshot=SNAPSHOT, created_at=1, deliver_before=2, total=2, unfinished=0, counts={first: 1, second: 1}
            )
            status = describing.invocation("t-1", head).invocation_status
            assert aggregate([first, second]) == status
            assert (status in {InvocationStatus(s) for s in LIVE}) == bool({first, second} & LIVE)


def test_unknown_instance_has_no_worker() -> None:
    """Every field is there, and empty."""
    status = describing.assistant_status("i", None)

    assert ("i", False, "", None) == (
        status.instance_id,
        status.cloud_assistant_status,
        status.os_type,
        status.last_heartbeat_time,
    )
