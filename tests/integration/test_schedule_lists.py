"""What an operator sees before and after: previews, the list of schedules, and the runs of each."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from beat import EVERY_MINUTE, next_time, outcomes, schedule
from refusals import refused

FROM = datetime(2026, 10, 24, tzinfo=UTC)


def test_preview_of_a_frequency_shows_what_would_run(plane, host) -> None:
    """In the zone that it names, and with the hosts' zones beside it; nothing is written."""
    host("berlin", time_zone="Europe/Berlin")
    host("tokyo", time_zone="Asia/Tokyo")

    found = plane.dispatcher.preview_schedule("0 0 9 * * ? * Asia/Shanghai", 2, after=FROM)

    assert [run.due_time for run in found] == [FROM + timedelta(hours=1), FROM + timedelta(hours=25)]
    assert {run.schedule_zone for run in found} == {"Asia/Shanghai"}
    assert found[0].time_zones == ("Asia/Tokyo", "Europe/Berlin")
    assert not plane.store.client.exists("fleethand:due", "fleethand:schedules")


def test_preview_without_a_zone_shows_each_zones_own_time(plane, host) -> None:
    """Nine in Tokyo comes before nine in Berlin; given zones stand in for those of the fleet."""
    host("berlin", time_zone="Europe/Berlin")
    host("tokyo", time_zone="Asia/Tokyo")

    found = plane.dispatcher.preview_schedule("0 0 9 * * ?", 2, after=FROM - timedelta(hours=1))
    given = plane.dispatcher.preview_schedule("0 0 9 * * ?", 1, after=FROM, time_zones=["America/New_York"])

    assert [run.time_zones for run in found] == [("Asia/Tokyo",), ("Europe/Berlin",)]
    assert {run.schedule_zone for run in found} == {""}
    assert given[0].time_zones == ("America/New_York",)


def test_preview_of_a_schedule_ends_where_the_schedule_does(plane, host, beat) -> None:
    """Its window, its end and its start count."""
    host()
    begin = beat.now().replace(second=0, microsecond=0) + timedelta(minutes=5)
    window = f"{begin + timedelta(minutes=1):%Y-%m-%d %H:%M}/{begin + timedelta(minutes=2):%Y-%m-%d %H:%M} UTC"
    invocation = schedule(plane, start_at=begin, end_at=begin + timedelta(minutes=2), blackout=[window])

    found = plane.dispatcher.preview_schedule(invoke_id=invocation.invoke_id, count=50)

    assert [run.due_time for run in found] == [begin + timedelta(minutes=minute) for minute in range(3)]
    assert [run.held_by for run in found] == ["", window, ""]


def test_preview_of_a_schedule_begins_at_its_start_however_far_that_is(plane, host, beat) -> None:
    """As many runs as are asked for, none of them before."""
    host()
    start = beat.now().replace(second=30, microsecond=0) + timedelta(days=400)
    invocation = schedule(plane, start_at=start)

    found = plane.dispatcher.preview_schedule(invoke_id=invocation.invoke_id, count=2)

    assert [run.due_time - start for run in found] == [timedelta(seconds=30), timedelta(seconds=90)]


def test_preview_of_a_schedule_has_no_more_runs_than_are_left(plane, host, beat) -> None:
    """Those that took place are taken off; one that is held back does not count."""
    host()
    due = (beat.now() + timedelta(minutes=2)).replace(second=0, microsecond=0)
    window = f"{due + timedelta(minutes=2):%Y-%m-%d %H:%M}/{due + timedelta(minutes=3):%Y-%m-%d %H:%M} UTC"
    invocation = schedule(plane, max_runs=3, start_at=due)
    other = schedule(plane, max_runs=2, start_at=due, blackout=[window])

    beat.at(due)

    for schedule_id, minutes in ((invocation.invoke_id, [1, 2]), (other.invoke_id, [1])):
        found = plane.dispatcher.preview_schedule(invoke_id=schedule_id, count=9, after=due)
        assert [run.due_time for run in found] == [due + timedelta(minutes=minute) for minute in minutes]
    held = plane.dispatcher.preview_schedule(invoke_id=other.invoke_id, count=9, after=due + timedelta(minutes=1))
    assert [run.held_by for run in held] == [window, ""]


def test_preview_counts_the_most_runs_in_each_zone(plane, host) -> None:
    """Where each host reads the frequency in its own zone."""
    host("berlin", time_zone="Europe/Berlin")
    host("tokyo", time_zone="Asia/Tokyo")
    invocation = schedule(plane, "0 0 9 * * ?", instance_ids=["berlin", "tokyo"], max_runs=1)

    found = plane.dispatcher.preview_schedule(invoke_id=invocation.invoke_id, count=9)

    assert sorted(run.time_zones for run in found) == [("Asia/Tokyo",), ("Europe/Berlin",)]


def test_preview_reads_a_window_without_a_zone_where_the_beat_reads_it(plane, host, beat) -> None:
    """In the zone of the schedule: what is shown as held back is held back."""
    host()
    shanghai = ZoneInfo("Asia/Shanghai")
    begin = (beat.now() + timedelta(minutes=3)).replace(second=0, microsecond=0).astimezone(shanghai)
    window = f"{begin:%Y-%m-%d %H:%M}/{begin + timedelta(minutes=1):%Y-%m-%d %H:%M}"
    invocation = schedule(plane, "0 * * * * ? * Asia/Shanghai", blackout=[window])

    just_before = begin - timedelta(seconds=1)
    shown = plane.dispatcher.preview_schedule(invoke_id=invocation.invoke_id, count=2, after=just_before)
    free = plane.dispatcher.preview_schedule("0 * * * * ? * Asia/Shanghai", 2, blackout=[window], after=just_before)
    beat.at(begin + timedelta(minutes=1))

    assert [run.held_by for run in shown] == [run.held_by for run in free] == [window, ""]
    assert outcomes(invocation)[-2:] == ["held back", "fired"]


def test_preview_refuses_what_run_would_refuse(plane) -> None:
    """With the same codes."""
    with refused("BadCronExpression"):
        plane.dispatcher.preview_schedule("* * * * *")
    with refused("InvalidParameter.Schedule"):
        plane.dispatcher.preview_schedule("rate(5m)", 0)
    with refused("InvalidParameter.Blackout"):
        plane.dispatcher.preview_schedule("rate(5m)", blackout=["now and then"])
    with refused("TimezoneInformationCorrupt"):
        plane.dispatcher.preview_schedule("rate(5m)", time_zones=["Nowhere"])


def test_schedules_are_listed_in_pages_and_without_those_that_are_over(plane, host) -> None:
    """Sorted by id; one can be asked for alone."""
    host()
    made = sorted(schedule(plane).invoke_id for _ in range(3))
    schedule(plane).stop()

    first = plane.dispatcher.describe_schedules(max_results=2)
    rest = plane.dispatcher.describe_schedules(max_results=2, next_token=first.next_token)
    (alone,) = plane.dispatcher.describe_schedules(invoke_id=made[1]).items

    assert [found.invoke_id for found in [*first.items, *rest.items]] == made
    assert (rest.next_token, alone.frequency, alone.time_zone) == ("", EVERY_MINUTE, "UTC")


def test_runs_are_for_schedules(plane, host) -> None:
    """What runs once has none, and says so."""
    host()
    once = plane.dispatcher.run_command(command_content="true", instance_ids=["host-1"])

    with refused("InvalidOperation.RepeatModeUnsupported"):
        once.runs()
    with refused("InvalidInvokeId.NotFound"):
        plane.dispatcher.describe_schedule_runs("t-none")


def test_schedules_are_found_by_when_they_are_due(plane, host) -> None:
    """The next one is at the front of the index, however many there are."""
    host()
    last, first = schedule(plane, "rate(7d)"), schedule(plane)

    found = plane.store.schedules.due(2**53, 10)

    assert [due.schedule_id for due in found] == [first.invoke_id, last.invoke_id]
    assert plane.store.schedules.next_act_ms() == round(next_time(plane, first).timestamp() * 1000)


def test_schedule_tells_for_how_long_no_beat_has_looked_at_it(plane, host, beat, monkeypatch) -> None:
    """Jitter is no delay, and a beat that works leaves none."""
    host()
    late, jittered = schedule(plane, "rate(5m)"), schedule(plane, "rate(5m)", jitter_s=240)
    schedule(plane, "rate(7d)")
    monkeypatch.setattr(plane.dispatcher._store, "now_ms", lambda: plane.store.now_ms() + 460_000)

    found = {item.invoke_id: item.late_s for item in plane.dispatcher.describe_schedules().items}
    beat.at(beat.now() + timedelta(seconds=460))

    assert 155 <= found[late.invoke_id] <= 165
    assert found[jittered.invoke_id] == 0
    assert sum(found.values()) == found[late.invoke_id]
    assert {item.late_s for item in plane.dispatcher.describe_schedules().items} == {0}
