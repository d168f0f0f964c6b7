"""The fleet as an operator sees it: filters, pages, who is online, and who was never seen."""

from collections.abc import Callable
from typing import Any

import pytest

from fleethand_common.errors import RequestError
from fleethand_dispatcher import keys
from scripted_host import ScriptedHost


@pytest.fixture
def fleet(plane, make_host: Callable[..., ScriptedHost]) -> dict[str, ScriptedHost]:
    """Seven hosts, every second one in production."""
    hosts = {f"i-{number}": make_host(f"i-{number}") for number in range(7)}
    for number, each in enumerate(hosts.values()):
        each.beat(name=f"web-{number}", tags={"env": "prod" if number % 2 else "test"})
    plane.settle()
    return hosts


def seen_ago(plane, instance_id: str, seconds: float) -> None:
    """Make a host's last heartbeat older."""
    plane.store.client.zadd(keys.SEEN, {instance_id: plane.store.now_ms() - int(seconds * 1000)})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "0123456"),
        ({"instance_ids": ["i-5", "i-1", "i-9"]}, "15"),
        ({"instance_ids": "i-5"}, "5"),
        ({"tags": {"env": "prod"}}, "135"),
        ({"tags": {"env": "prod", "x": "y"}}, ""),
        ({"names": ["web-[34]"]}, "34"),
        ({"names": ["i-6", "web-0"]}, "06"),
        ({"names": ["web-*"], "tags": {"env": "test"}, "online": True}, "046"),
        ({"online": True}, "013456"),
        ({"online": False}, "2"),
        ({"online": False, "tags": {"env": "prod"}}, ""),
    ],
    ids=str,
)
def test_describe_instances_finds_what_fits_every_filter(plane, fleet, filters: dict[str, Any], expected: str) -> None:
    """Sorted by id; one that was never seen is left out."""
    seen_ago(plane, "i-2", 121)

    for size in (1, 3, 50):
        page = plane.dispatcher.describe_instances(max_results=size, **filters)
        found = list(page.items)
        while page.next_token:
            page = plane.dispatcher.describe_instances(max_results=size, next_token=page.next_token, **filters)
            found += page.items

        assert [f"i-{number}" for number in expected] == [instance.instance_id for instance in found]


def test_describe_instances_refuses_an_id_that_cannot_be_one(plane) -> None:
    """It is a mistake, not an empty list."""
    with pytest.raises(RequestError) as caught:
        plane.dispatcher.describe_instances(instance_ids=["a b"])

    assert caught.value.code == "InvalidInstanceId.Malformed"


def test_instance_shows_what_its_last_heartbeat_told(plane, host) -> None:
    """First seen stays, last seen moves; orders that it has not taken are counted."""
    first = host(name="web", tags={"a": "b"})
    (before,) = plane.dispatcher.describe_instances().items
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1"])
    (waiting,) = plane.dispatcher.describe_instances().items
    first.start(invocation.invoke_id)
    first.beat(name="renamed")
    plane.settle()

    (after,) = plane.dispatcher.describe_instances().items

    assert (before.instance_name, before.tags, before.waiting, before.last_invoked_time) == ("web", {"a": "b"}, 0, None)
    assert (waiting.waiting, after.waiting) == (1, 0)
    assert (after.instance_name, after.tags) == ("renamed", {})
    assert before.first_seen_at == after.first_seen_at <= after.last_seen_at
    assert after.last_invoked_time is not None


@pytest.mark.parametrize(("ago_s", "expected"), [(0, True), (119, True), (121, False)])
def test_instance_is_online_for_two_minutes_after_a_heartbeat(plane, fleet, ago_s: int, *, expected: bool) -> None:
    """Every answer says the same: the list, the status, the filter and the preview of a call."""
    seen_ago(plane, "i-1", ago_s)
    d = plane.dispatcher

    assert expected == d.describe_instances(instance_ids=["i-1"]).items[0].online
    assert expected == d.describe_cloud_assistant_status(instance_ids=["i-1"]).items[0].cloud_assistant_status
    assert expected == bool(d.describe_instances(instance_ids=["i-1"], online=True).items)
    assert expected == bool(d.preview_targets(instance_ids=["i-1"]).online)


def test_time_until_offline_is_a_setting(make_plane, fleet) -> None:
    """`online_within_s` moves the two minutes."""
    plane = make_plane(online_within_s=10)
    seen_ago(plane, "i-1", 11)
    seen_ago(plane, "i-2", 9)

    assert ["i-1"] == [instance.instance_id for instance in plane.dispatcher.describe_instances(online=False).items]


def test_status_of_unknown_instances_comes_back_as_not_there(plane, fleet) -> None:
    """In the order asked for, each once; the page's size does not cut ids that were named."""
    asked = ["nobody", "i-3", "i-1", "i-3"]

    page = plane.dispatcher.describe_cloud_assistant_status(instance_ids=asked, max_results=1)

    assert [("nobody", False), ("i-3", True), ("i-1", True)] == [
        (status.instance_id, status.cloud_assistant_status) for status in page.items
    ]
    unknown = page.items[0]
    assert (unknown.cloud_assistant_version, unknown.os_type, unknown.last_heartbeat_time) == ("", "", None)
    assert (unknown.invocation_count, unknown.active_task_count, unknown.support_session_manager) == (0, 0, False)


def test_status_pages_hold_each_instance_once(plane, fleet) -> None:
    """All that were ever seen, sorted by id, also with the filter on the operating system."""
    found, token = [], ""
    while not found or token:
        page = plane.dispatcher.describe_cloud_assistant_status(max_results=3, os_type="Linux", next_token=token)
        found += [status.instance_id for status in page.items]
        token = page.next_token

    assert sorted(fleet) == found
    assert plane.dispatcher.describe_cloud_assistant_status(os_type="Windows").items == []
    assert plane.dispatcher.describe_cloud_assistant_status(instance_ids=["i-1"], os_type="Windows").items == []


@pytest.mark.parametrize("instance_id", ["i-1@", "a|b", "a:b", "", "x" * 65, "ä"])
def test_heartbeat_of_an_impossible_id_is_set_aside(plane, fleet, make_host, instance_id: str) -> None:
    """Ids become parts of keys and fields: `i-1@` would have been read as when `i-1` was first seen."""
    make_host(instance_id).beat()
    plane.settle()

    assert sorted(fleet) == [instance.instance_id for instance in plane.dispatcher.describe_instances().items]
    assert [f"forged, UnknownInstance: no instance {instance_id[:64]!r} is enrolled"] == [
        report.reason for report in plane.dispatcher.dead_reports()
    ]
