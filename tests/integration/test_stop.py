"""Stopping: what is withdrawn, what is asked for, and who has the last word."""

from typing import Any

import pytest

import enrolled
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.models import StopDisposition
from time_travel import make_offline

RUN: dict[str, Any] = {"command_content": "x", "deliver_within_s": 3600}


def test_each_instance_gets_its_own_disposition(plane, host, make_host) -> None:
    """Waiting, sent, running, finished and no target at all, in one call."""
    make_host("never-seen")
    hosts = {name: host(name) for name in ("sent", "runs", "over", "away")}
    make_offline(plane.store, "away")
    invocation = plane.dispatcher.run_command(**RUN, instance_ids=[*hosts, "never-seen"])
    hosts["runs"].start(invocation.invoke_id)
    hosts["over"].finish(invocation.invoke_id)
    plane.settle()

    dispositions = invocation.stop([*hosts, "never-seen", "stranger"])

    assert dispositions == {
        "sent": StopDisposition.STOPPING,
        "runs": StopDisposition.STOPPING,
        "over": StopDisposition.ALREADY_FINISHED,
        "away": StopDisposition.CANCELLED,
        "never-seen": StopDisposition.CANCELLED,
        "stranger": StopDisposition.NOT_FOUND,
    }
    assert {name: len(each.stops()) for name, each in hosts.items()} == {"sent": 1, "runs": 1, "over": 0, "away": 0}
    assert invocation.counts == {"Stopping": 2, "Success": 1, "Cancelled": 2}


def test_stop_of_chosen_instances_leaves_the_others_alone(plane, host) -> None:
    """One id as a text is one id; a part of the fleet goes on."""
    first, second = host("h1"), host("h2")
    invocation = plane.dispatcher.run_command(**RUN, all_instances=True)

    assert invocation.stop("h1") == {"h1": StopDisposition.STOPPING}

    assert (len(first.stops()), second.stops()) == (1, [])
    assert invocation.counts == {"Stopping": 1, "Pending": 1}


def test_stop_asked_for_again_is_sent_again_and_told_once(plane, host) -> None:
    """An impatient caller helps a lost message, and makes no second event."""
    first = host()
    invocation = plane.dispatcher.run_command(**RUN, instance_ids=["host-1"])
    before = invocation.stop(), invocation.record().stop_time

    assert before == (invocation.stop(), invocation.record().stop_time)

    assert len(first.stops()) == 2
    first.finish(invocation.invoke_id, InstanceStatus.CANCELLED, started_at_ms=None)
    plane.settle()
    assert ["Stopping", "Cancelled"] == [event.status for event in invocation.follow(1)]


@pytest.mark.parametrize("last_word", ["Success", "Failed", "Terminated", "Cancelled", "Timeout", "Error", "Aborted"])
def test_host_has_the_last_word_on_what_is_being_stopped(plane, host, last_word: str) -> None:
    """It may have ended by itself before the stop arrived; that is then the truth."""
    first = host()
    invocation = plane.dispatcher.run_command(**RUN, instance_ids=["host-1"])
    invocation.stop()
    first.finish(invocation.invoke_id, InstanceStatus(last_word), started_at_ms=None)
    plane.settle()

    (result,) = invocation.results()
    assert (result.invocation_status, result.presumed) == (last_word, False)
    assert result.stop_time is not None


def test_start_that_crosses_a_stop_does_not_undo_it(plane, host) -> None:
    """The row stays Stopping, and knows that it ran; the stop is sent until it is confirmed."""
    first = host()
    invocation = plane.dispatcher.run_command(**RUN, instance_ids=["host-1"])
    invocation.stop()
    first.start(invocation.invoke_id)
    plane.settle()

    (result,) = invocation.results()
    assert (result.invocation_status, result.repeats) == ("Stopping", 1)
    first.stops()
    first.beat(hello=True)
    plane.settle()
    assert len(first.stops()) == 1
    assert first.orders()[1:] == []


def test_stop_of_what_is_over_changes_nothing(plane, host) -> None:
    """No time of a stop, no event, no message."""
    first = host()
    invocation = plane.dispatcher.run_command(**RUN, instance_ids=["host-1"])
    first.finish(invocation.invoke_id)
    plane.settle()
    before = invocation.record()

    assert invocation.stop() == {"host-1": StopDisposition.ALREADY_FINISHED}
    assert invocation.stop(["stranger"]) == {"stranger": StopDisposition.NOT_FOUND}

    assert before == invocation.record()
    assert first.stops() == []


def test_stop_reaches_every_instance_of_a_large_invocation(plane) -> None:
    """More instances than one call of the script takes; all that wait are withdrawn."""
    names = [f"i-{number}" for number in range(2345)]
    enrolled.enrol_rows(plane.store, plane.keyring, names)
    invocation = plane.dispatcher.run_command(**RUN, instance_ids=names)

    assert dict.fromkeys(names, StopDisposition.CANCELLED) == invocation.stop()

    assert invocation.record().counts == {InstanceStatus.CANCELLED: 2345}
    assert invocation.status == "Stopped"
