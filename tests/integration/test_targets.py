"""Which instances a call reaches: by id, tag, name, all, and a share of them; a preview tells the same."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleethand_common.errors import RequestError
from fleethand_common.messages import Heartbeat
from scripted_host import ScriptedHost

FLEET = {
    "i-1": ("web-1", {"env": "prod", "role": "web"}),
    "i-2": ("web-2", {"env": "prod", "role": "web", "gpu": ""}),
    "i-3": ("db-1", {"env": "prod", "role": "db"}),
    "i-4": ("web-3", {"env": "test", "role": "web"}),
    "i-5": ("Web-4", {"env": "test"}),
}


@pytest.fixture
def fleet(plane, make_host: Callable[..., ScriptedHost]) -> dict[str, ScriptedHost]:
    """Five hosts that are online."""
    hosts = {instance_id: make_host(instance_id) for instance_id in FLEET}
    for instance_id, (name, tags) in FLEET.items():
        hosts[instance_id].beat(name=name, tags=tags)
    plane.settle()
    return hosts


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"instance_ids": ["i-3", "i-1", "i-3"]}, ["i-3", "i-1"]),
        ({"instance_ids": "i-2"}, ["i-2"]),
        ({"tags": {"env": "prod"}}, ["i-1", "i-2", "i-3"]),
        ({"tags": {"env": "prod", "role": "web"}}, ["i-1", "i-2"]),
        ({"tags": {"gpu": ""}}, ["i-2"]),
        ({"names": ["web-*"]}, ["i-1", "i-2", "i-4"]),
        ({"names": "db-?"}, ["i-3"]),
        ({"names": ["web-1", "db-*"]}, ["i-1", "i-3"]),
        ({"names": ["i-[45]"]}, ["i-4", "i-5"]),
        ({"names": ["web-*"], "tags": {"env": "test"}}, ["i-4"]),
        ({"all_instances": True}, ["i-1", "i-2", "i-3", "i-4", "i-5"]),
        ({"all_instances": True, "limit": 2}, ["i-1", "i-2"]),
        ({"all_instances": True, "limit": "1%"}, ["i-1"]),
        ({"all_instances": True, "limit": "20%"}, ["i-1"]),
        ({"all_instances": True, "limit": "20.1%"}, ["i-1", "i-2"]),
        ({"all_instances": True, "limit": "100 %"}, ["i-1", "i-2", "i-3", "i-4", "i-5"]),
        ({"tags": {"env": "prod"}, "limit": "50%"}, ["i-1", "i-2"]),
        ({"instance_ids": ["i-3", "i-1"], "limit": "1"}, ["i-3"]),
        ({"all_instances": True, "limit": 1000}, ["i-1", "i-2", "i-3", "i-4", "i-5"]),
    ],
    ids=str,
)
def test_run_reaches_what_the_preview_tells(plane, fleet, asked: dict[str, Any], expected: list[str]) -> None:
    """Tags are joined by and, globs by or; a share is rounded up; duplicates collapse."""
    preview = plane.dispatcher.preview_targets(**asked)

    invocation = plane.dispatcher.run_command(command_content="x", **asked)

    assert expected == list(preview.instance_ids)
    assert (len(expected), 0, ()) == (preview.online, preview.offline, preview.unknown)
    assert expected == [result.instance_id for result in invocation.results()]
    assert sorted(expected) == [instance_id for instance_id, each in fleet.items() if each.orders()]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "MissingParam.InstanceId"),
        ({"limit": 1}, "MissingParam.InstanceId"),
        ({"all_instances": False}, "MissingParam.InstanceId"),
        ({"instance_ids": ["i-1"], "tags": {"a": "b"}}, "InvalidResourceTag.ConflictWithInstanceIds"),
        ({"instance_ids": ["i-1"], "names": ["a"]}, "InvalidResourceTag.ConflictWithInstanceIds"),
        ({"instance_ids": ["i-1"], "all_instances": True}, "InvalidResourceTag.ConflictWithInstanceIds"),
        ({"all_instances": True, "names": ["a"]}, "InvalidResourceTag.ConflictWithInstanceIds"),
        ({"tags": {"env": "prod", "role": "cache"}}, "InvalidResourceTag.InstanceNotFound"),
        ({"tags": {"ENV": "prod"}}, "InvalidResourceTag.InstanceNotFound"),
        ({"names": ["cache*"]}, "InvalidInstance.NotFound"),
        ({"instance_ids": ["i-1", "i-9"], "require_known": True}, "InvalidInstance.NotFound"),
        ({"instance_ids": ["i 1"]}, "InvalidInstanceId.Malformed"),
        ({"tags": "env=prod"}, "InvalidParameter"),
    ],
    ids=str,
)
def test_targets_that_cannot_be_meant_are_refused_by_run_and_preview(plane, fleet, asked, code: str) -> None:
    """None, two kinds at once, or nothing that fits: the same code from both, and nothing sent."""
    for call in (plane.dispatcher.preview_targets, lambda **a: plane.dispatcher.run_command(command_content="x", **a)):
        with pytest.raises(RequestError) as caught:
            call(**asked)
        assert code == caught.value.code

    assert plane.dispatcher.describe_invocations().items == []
    assert [each.orders() for each in fleet.values()] == [[]] * 5


def test_all_is_refused_when_no_host_is_known(plane) -> None:
    """An empty fleet is a mistake of the caller, not an invocation that succeeds at nothing."""
    with pytest.raises(RequestError, match="No instance is known yet"):
        plane.dispatcher.preview_targets(all_instances=True)


def test_limit_of_a_call_counts_what_is_reached_and_not_what_exists(make_plane, fleet) -> None:
    """A fleet larger than the quota can still be reached in parts."""
    plane = make_plane(instances_per_call_max=2)

    assert len(plane.dispatcher.preview_targets(all_instances=True, limit=2).instance_ids) == 2
    with pytest.raises(RequestError, match=r"3 instances are meant; 2 are allowed") as caught:
        plane.dispatcher.preview_targets(all_instances=True, limit=3)
    assert caught.value.code == "InstanceIds.ExceedLimit"


def test_preview_parts_online_offline_and_unknown(make_plane, fleet, host: Callable[..., ScriptedHost]) -> None:
    """What a call would do with each: send now, let it wait, or end as Aborted."""
    plane = make_plane()
    plane.store.client.zadd("fleethand:seen", {"i-2": 1})

    preview = plane.dispatcher.preview_targets(instance_ids=["i-9", "i-2", "i-1"])

    assert ("i-9", "i-2", "i-1") == preview.instance_ids
    assert (preview.online, preview.offline, preview.unknown) == (1, 1, ("i-9",))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tenths=st.integers(1, 1000))
def test_share_is_the_exact_ceiling(plane, fleet, tenths: int) -> None:
    """Any percentage with one decimal, computed without a rounding error of its own."""
    found = plane.dispatcher.preview_targets(all_instances=True, limit=f"{tenths / 10}%")

    assert -(-5 * tenths // 1000) == len(found.instance_ids)


def test_share_of_a_large_fleet_has_no_rounding_error(plane) -> None:
    """64.4 % of 250 is 161; as floats it is a little more, and a ceiling makes that 162."""
    beats = [_beat(f"i-{number}", plane.store.now_ms()) for number in range(250)]
    plane.store.instances.note(beats, offline_after_ms=1000, again_ms=1000)

    found = plane.dispatcher.preview_targets(all_instances=True, limit="64.4%")

    assert math.ceil(250 * 644 / 1000) == len(found.instance_ids) == 161


def _beat(instance_id: str, at_ms: int) -> Heartbeat:
    return Heartbeat(
        instance_id=instance_id,
        at_ms=at_ms,
        interval_s=30,
        name="",
        os_type="Linux",
        os_version="",
        worker_version="",
        time_zone="",
        boot_id="",
    )


def test_tags_of_the_last_heartbeat_count(plane, fleet) -> None:
    """A host that changed its tags is found by the new ones only."""
    fleet["i-1"].beat(name="web-1", tags={"env": "test"})
    plane.settle()

    assert plane.dispatcher.preview_targets(tags={"env": "test"}).instance_ids == ("i-1", "i-4", "i-5")
