"""Identifiers."""

import re

import pytest

from fleethand_common.celery_config import control_queue, orders_queue
from fleethand_common.ids import COMMAND_PREFIX, INVOCATION_PREFIX, is_instance_id, is_invocation_id, new_id, run_id


@pytest.mark.parametrize("prefix", [COMMAND_PREFIX, INVOCATION_PREFIX])
def test_new_id_is_prefix_and_twenty_characters(prefix: str) -> None:
    """Ids are lower-case letters and digits, safe in keys, paths and shells."""
    assert re.fullmatch(re.escape(prefix) + "[0-9a-z]{20}", new_id(prefix))


def test_new_id_is_new_every_time() -> None:
    """Ten thousand ids are ten thousand different ones."""
    assert len({new_id("t-") for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("text", ["i", "host-1", "web.example.org", "I_0", "0", "a" * 64])
def test_instance_id_is_taken_when_it_is_a_host_name(text: str) -> None:
    """Host names and cloud instance ids can be used as they are."""
    assert is_instance_id(text)


@pytest.mark.parametrize("text", ["", "-a", ".a", "_a", "a b", "a:b", "a*", "a/b", "a\n", "é", "a" * 65, "{a}"])
def test_instance_id_is_refused_when_it_could_mean_something_else(text: str) -> None:
    """No separator of keys, paths or patterns, and not longer than 64."""
    assert not is_instance_id(text)


def test_queues_of_an_instance_differ() -> None:
    """Orders and control never share a queue, nor do two instances."""
    queues = {queue(name) for queue in (orders_queue, control_queue) for name in ("host-1", "host-2")}

    assert len(queues) == 4


@pytest.mark.parametrize("part", ["", "Europe/Berlin", "Europe/Berlin|host-1"])
def test_run_of_a_schedule_has_an_id_that_hosts_can_use(part: str) -> None:
    """The same for the same time; it names a folder on the host and fits where an instance id does."""
    found = run_id(new_id(INVOCATION_PREFIX), 10**15 - 1, part)

    assert is_invocation_id(found)
    assert is_instance_id(found)


def test_runs_that_are_due_at_once_have_different_ids() -> None:
    """One for each time zone."""
    assert len({run_id("t-1", 5, part) for part in ("", "Europe/Berlin", "Europe/Paris")}) == 3


@pytest.mark.parametrize("text", ["t-", "t-A", "t-1.", "t-1.x", "t-1.5.", "t-1.5.g", "t-1.5.0.0", "t-1/5", "c-1"])
def test_invocation_id_is_refused_when_it_is_none(text: str) -> None:
    """It becomes a part of keys."""
    assert not is_invocation_id(text)
