"""Who takes part in a run: hosts by id, by tag and name as they come and go, each in its own time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from beat import MINUTE, next_time, outcomes, row, run_through, schedule
from fleethand_dispatcher.scheduling.zones import refresh

DAILY_AT_NINE = "0 0 9 * * ?"


def at_nine(zone: str, after: datetime) -> datetime:
    """Return the first nine o'clock in a zone after a moment."""
    local = after.astimezone(ZoneInfo(zone))
    nine = local.replace(hour=9, minute=0, second=0, microsecond=0)
    return (nine if nine > local else nine + timedelta(days=1)).astimezone(UTC)


def test_host_that_gets_the_tag_joins_at_the_next_run(plane, host, beat) -> None:
    """It has a row from then on, with a step that says so."""
    host("host-1", tags={"env": "prod"})
    invocation = schedule(plane, tags={"env": "prod"})
    beat.at(next_time(plane, invocation))
    joining = host("host-2", tags={"env": "prod"})

    beat.at(next_time(plane, invocation))

    assert len(joining.orders()) == 1
    assert {result.instance_id for result in invocation.results()} == {"host-1", "host-2"}
    assert "joined" in [step.what for step in plane.dispatcher.explain(invocation.invoke_id, "host-2").steps]
    assert invocation.record().instance_count == 2


def test_host_that_loses_the_tag_leaves_with_what_its_last_run_was(plane, host, beat) -> None:
    """Its row ends and stays; nothing more is sent to it; the others go on."""
    staying, leaving = host("host-1", tags={"env": "prod"}), host("host-2", tags={"env": "prod"})
    invocation = schedule(plane, tags={"env": "prod"})
    beat.at(next_time(plane, invocation))
    run_through(plane, staying)
    run_through(plane, leaving, status="Failed", exit_code=1)
    leaving.beat(tags={})
    plane.settle()

    beat.at(next_time(plane, invocation))

    assert not leaving.orders()
    assert len(staying.orders()) == 1
    assert (row(invocation, "host-2").invocation_status, row(invocation, "host-2").exit_code) == ("Failed", 1)
    assert "left" in [step.what for step in plane.dispatcher.explain(invocation.invoke_id, "host-2").steps]


def test_host_that_left_before_its_first_run_is_stopped_with_the_reason(plane, host, beat) -> None:
    """Nothing ran on it, and nobody is to blame."""
    host("host-1", tags={"env": "prod"})
    leaving = host("host-2", tags={"env": "prod"})
    invocation = schedule(plane, tags={"env": "prod"})
    leaving.beat(tags={})
    plane.settle()

    beat.at(next_time(plane, invocation))

    found = row(invocation, "host-2")
    assert (found.invocation_status, found.error_info) == ("Stopped", "It was no target any more before its first run.")


def test_host_that_comes_back_takes_part_again(plane, host, beat) -> None:
    """Its row begins anew; the schedule counts it once."""
    one, two = host("host-1", tags={"env": "prod"}), host("host-2", tags={"env": "prod"})
    invocation = schedule(plane, tags={"env": "prod"})
    for tags in ({}, {"env": "prod"}):
        two.beat(tags=tags)
        plane.settle()
        beat.at(next_time(plane, invocation))
        run_through(plane, one)

    assert len(run_through(plane, two)) == 1
    assert (row(invocation, "host-2").invocation_status, row(invocation, "host-2").repeats) == ("Scheduled", 1)
    assert invocation.counts == {"Scheduled": 2}


def test_schedule_lives_on_when_all_its_hosts_have_left(plane, host, beat) -> None:
    """A run without hosts is a row with its reason; whoever comes later takes part."""
    one = host("host-1", tags={"env": "prod"})
    invocation = schedule(plane, tags={"env": "prod"})
    one.beat(tags={})
    plane.settle()
    for _ in range(2):
        beat.at(next_time(plane, invocation))
    alone = (outcomes(invocation), invocation.runs()[0].reason)
    late = host("host-9", tags={"env": "prod"})

    beat.at(next_time(plane, invocation))

    assert alone == (["skipped", "skipped"], "No host fits its targets.")
    assert len(late.orders()) == 1
    assert invocation.status == "Scheduled"


def test_host_that_was_stopped_does_not_come_back_with_its_tag(plane, host, beat) -> None:
    """Stopped is stopped: the tag does not overrule whoever stopped it."""
    one = host("host-1", tags={"env": "prod"})
    host("host-2", tags={"env": "prod"})
    invocation = schedule(plane, tags={"env": "prod"})
    invocation.stop(["host-1"])

    beat.at(next_time(plane, invocation))

    assert not one.orders()
    assert row(invocation, "host-1").invocation_status == "Cancelled"


def test_targets_by_id_stay_as_they_are(plane, host, beat) -> None:
    """An id that no host had when the schedule began takes part as soon as one has."""
    host("host-1")
    invocation = schedule(plane, instance_ids=["host-1", "host-2"])
    beat.at(next_time(plane, invocation))
    unknown = row(invocation, "host-2")
    late = host("host-2")

    beat.at(next_time(plane, invocation))

    assert (unknown.invocation_status, unknown.error_code) == ("Scheduled", "InstanceNotExists")
    assert len(late.orders()) == 1


def test_cron_without_a_zone_runs_by_each_hosts_clock(plane, host, beat) -> None:
    """Nine o'clock is nine o'clock where the host is; a zone that is unknown counts as UTC."""
    zones = {"tokyo": "Asia/Tokyo", "berlin": "Europe/Berlin", "odd": "Neverland", "utc": "UTC"}
    hosts = {name: host(name, time_zone=zone) for name, zone in zones.items()}
    invocation = schedule(plane, DAILY_AT_NINE, instance_ids=list(hosts))
    began = beat.now()
    due = {name: at_nine(zone if zone != "Neverland" else "UTC", began) for name, zone in zones.items()}

    ran = {}
    for moment in sorted(set(due.values())):
        beat.at(moment)
        for name, one in hosts.items():
            if one.orders():
                ran[name] = moment

    assert ran == due
    assert {run.time_zone for run in invocation.runs()} == {"Asia/Tokyo", "Europe/Berlin", "UTC"}


def test_two_zones_that_are_due_at_once_are_two_runs(plane, host, beat) -> None:
    """Berlin and Paris share their clock; each has its run, and no host has two."""
    hosts = [host("b", time_zone="Europe/Berlin"), host("p", time_zone="Europe/Paris")]
    invocation = schedule(plane, DAILY_AT_NINE, instance_ids=["b", "p"])

    beat.at(at_nine("Europe/Berlin", beat.now()))

    assert [len(one.orders()) for one in hosts] == [1, 1]
    assert len({run.run_id for run in invocation.runs()}) == 2


def test_zone_that_is_new_to_a_schedule_is_found_before_its_time(plane, host, beat) -> None:
    """A host that joins from another part of the world does not wait for the run of the others."""
    host("berlin", tags={"env": "prod"}, time_zone="Europe/Berlin")
    invocation = schedule(plane, DAILY_AT_NINE, tags={"env": "prod"})
    tokyo = host("tokyo", tags={"env": "prod"}, time_zone="Asia/Tokyo")

    added = (beat.refresh_zones(), beat.refresh_zones())
    beat.at(at_nine("Asia/Tokyo", beat.now()))

    assert added == (1, 0)
    assert len(tokyo.orders()) == 1
    assert invocation.status in ("Pending", "Scheduled")


def test_search_for_new_zones_is_done_in_steps(plane, host, beat, monkeypatch) -> None:
    """What is due in between does not wait for the rest of ten thousand schedules."""
    host("berlin", tags={"env": "prod"}, time_zone="Europe/Berlin")
    for targets in ({"tags": {"env": "prod"}}, {"all_instances": True}, {"tags": {"env": "prod"}}):
        schedule(plane, DAILY_AT_NINE, **targets)
    host("tokyo", tags={"env": "prod"}, time_zone="Asia/Tokyo")
    monkeypatch.setattr("fleethand_dispatcher.scheduling.zones._STEP", 1)

    assert list(refresh(plane.store, plane.settings, plane.store.now_ms())) == [1, 1, 1]


def test_schedule_by_zones_ends_when_it_has_run_in_the_last_one(plane, host, beat) -> None:
    """Each zone has its own most runs; the hosts of one end before those of the other."""
    tokyo, utc = host("tokyo", time_zone="Asia/Tokyo"), host("utc", time_zone="UTC")
    invocation = schedule(plane, DAILY_AT_NINE, instance_ids=["tokyo", "utc"], max_runs=1)
    first, second = sorted([(at_nine("Asia/Tokyo", beat.now()), tokyo), (at_nine("UTC", beat.now()), utc)],
                           key=lambda pair: pair[0])  # fmt: skip

    beat.at(first[0])
    run_through(plane, first[1])
    between = (row(invocation, first[1].instance_id).invocation_status, invocation.status)
    beat.at(second[0])
    run_through(plane, second[1])

    assert between == ("Success", "Scheduled")
    assert invocation.wait(1).invocation_status == "Success"
    assert not plane.store.client.exists("fleethand:due", "fleethand:schedules")


def test_rate_keeps_its_grid_from_the_creation(plane, host, beat) -> None:
    """One interval after the creation, two, three: however late the beat is."""
    host()
    invocation = schedule(plane, "rate(2m)")
    created = invocation.record().creation_time.replace(microsecond=0)

    beat.at(created + 2 * MINUTE + timedelta(seconds=20))

    assert [run.due_time for run in invocation.runs()] == [created + 2 * MINUTE]
    assert next_time(plane, invocation) == created + 4 * MINUTE


@pytest.mark.parametrize("kind", ["names", "all_instances"])
def test_targets_by_name_and_all_are_looked_for_again_too(plane, host, beat, kind) -> None:
    """Whatever is no list of ids is a question, asked at each run."""
    host("web-1")
    invocation = schedule(plane, **{kind: ["web-*"] if kind == "names" else True})
    late = host("web-2")

    beat.at(next_time(plane, invocation))

    assert len(late.orders()) == 1


def test_host_that_changes_its_zone_does_not_keep_a_schedule_from_its_end(plane, host, beat) -> None:
    """It moved to where the schedule has ended already; the schedule ends with its last zone, for everybody."""
    hosts = {zone: host(zone.partition("/")[2], time_zone=zone) for zone in ("Asia/Tokyo", "Europe/Berlin")}
    invocation = schedule(plane, DAILY_AT_NINE, instance_ids=["Tokyo", "Berlin"], max_runs=1)
    first, second = sorted(hosts, key=lambda zone: at_nine(zone, beat.now()))
    beat.at(at_nine(first, beat.now()))
    run_through(plane, hosts[first])
    hosts[second].beat(time_zone=first)
    plane.settle()
    beat.refresh_zones()

    beat.at(at_nine(second, beat.now()))

    moved = row(invocation, second.partition("/")[2])
    assert (moved.invocation_status, moved.error_info) == ("Stopped", "No host takes part any more.")
    assert not plane.store.client.exists("fleethand:due", "fleethand:schedules")
    assert plane.dispatcher.verify_invocation(invocation.invoke_id).findings == ()


def test_host_in_a_zone_that_has_no_time_left_ends_with_the_others(plane, host, beat) -> None:
    """The end of the schedule comes after nine in one zone and before nine in the other."""
    hosts = {zone: host(zone.partition("/")[2], time_zone=zone) for zone in ("Asia/Tokyo", "Europe/Berlin")}
    sooner, later = sorted(hosts, key=lambda zone: at_nine(zone, beat.now()))
    end = at_nine(sooner, beat.now()) + MINUTE
    invocation = schedule(plane, DAILY_AT_NINE, instance_ids=["Tokyo", "Berlin"], end_at=end)

    beat.at(at_nine(sooner, beat.now()))
    run_through(plane, hosts[sooner])

    statuses = {zone: row(invocation, zone.partition("/")[2]).invocation_status for zone in (sooner, later)}
    assert statuses == {sooner: "Success", later: "Stopped"}
    assert not plane.store.client.exists("fleethand:due", "fleethand:schedules")


def test_run_goes_to_hosts_that_have_all_tags_and_the_name_that_are_asked_for(plane, host, beat) -> None:
    """However rare one of the tags is, the others and the name count too."""
    fitting = host("web-1", tags={"env": "prod", "rack": "a"})
    others = [
        host("web-2", tags={"env": "prod", "rack": "b"}),
        host("web-3", tags={"env": "test", "rack": "a"}),
        host("db-1", tags={"env": "prod", "rack": "a"}),
        host("web-4"),
    ]
    invocation = schedule(plane, tags={"env": "prod", "rack": "a"}, names=["web-*"])

    beat.at(next_time(plane, invocation))

    assert len(fitting.orders()) == 1
    assert not any(other.orders() for other in others)
