"""What of an event may reach the dashboard."""

import pytest

from fleethand_dispatcher.dashboard.wall import cleaned

TASK = {
    "type": "task-received",
    "hostname": "host-1@fleethand",
    "uuid": "t-1.host-1",
    "name": "deploy",
    "timestamp": 1.0,
}


def test_cleaned_keeps_what_says_who_ran_what_and_when() -> None:
    """Names, times, numbers and ids pass."""
    event = {**TASK, "kwargs": "{'invocation': 't-1', 'instance': 'host-1'}", "runtime": 1.5, "retries": 0}

    assert event == cleaned(event)


@pytest.mark.parametrize("field", ["args", "result", "traceback", "as_dict", "children", "root_id"])
def test_cleaned_drops_every_other_field_of_a_task(field: str) -> None:
    """What is not known to be harmless does not pass, whatever a changed worker sends."""
    assert cleaned(TASK) == cleaned({**TASK, field: "SECRET"})


@pytest.mark.parametrize(
    "kwargs",
    [
        "{'content': 'SECRET'}",
        "{'order': {'parameters': {'password': 'SECRET'}}}",
        "SECRET",
        "{'invocation': 'SECRET with spaces'}",
        "{'invocation': ['SECRET']}",
        "((((" * 500,
        None,
    ],
)
def test_cleaned_drops_arguments_that_are_not_ids(kwargs: object) -> None:
    """Of the arguments only the two ids pass."""
    assert "kwargs" not in cleaned({**TASK, "kwargs": kwargs})


def test_cleaned_keeps_the_ids_among_other_arguments() -> None:
    """An id passes; what stands beside it does not."""
    event = cleaned({**TASK, "kwargs": "{'invocation': 't-1', 'content': 'SECRET'}"})

    assert "{'invocation': 't-1'}" == event["kwargs"]


@pytest.mark.parametrize(
    ("exception", "shown"),
    [
        ("Terminated", "Terminated"),
        ("Failed: exit code 3", "Failed: exit code 3"),
        ("Timeout: ExecutionTimeout", "Timeout: ExecutionTimeout"),
        ("Error: s3cr3t", "Failed"),
        ("Failed: two words", "Failed"),
        ("cat: /etc/shadow: SECRET line of output", "Failed"),
        ("x" * 100, "Failed"),
    ],
)
def test_cleaned_shows_a_status_and_a_code_of_a_failure_only(exception: str, shown: str) -> None:
    """Other words could be output."""
    assert shown == cleaned({**TASK, "type": "task-failed", "exception": exception})["exception"]


def test_cleaned_keeps_a_workers_numbers_and_drops_the_rest() -> None:
    """A worker's event tells that it lives and how busy it is."""
    event = {"type": "worker-heartbeat", "hostname": "host-1@fleethand", "freq": 30, "active": 1, "processed": 2}

    assert event == cleaned({**event, "environment": "SECRET"})
