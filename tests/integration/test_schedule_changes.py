"""`modify_invocation_attribute`: what may change, what stays, and what is refused (spec 2.8)."""

from datetime import timedelta
from functools import partial

import pytest

from beat import EVERY_MINUTE, MINUTE, next_time, row, run_through, schedule
from fleethand_dispatcher.schedule_records import ScheduleRecords
from refusals import refused


def test_content_changes_with_a_new_command_and_the_run_in_progress_keeps_the_old(plane, host, beat) -> None:
    """The answer names the command that the next run has."""
    one = host()
    invocation = schedule(plane)
    beat.at(next_time(plane, invocation))
    (old,) = one.orders()
    one.start(old.invocation_id)
    plane.settle()

    command_id = plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, command_content="echo new")
    under_way = invocation.status
    one.finish(old.invocation_id)
    plane.settle()
    beat.at(next_time(plane, invocation))
    (new,) = one.orders()

    assert (old.content, new.content) == ("echo hi", "echo new")
    assert command_id == new.command_id == invocation.record().command_id != old.command_id
    assert under_way == "Running"
    assert invocation.record().command_content == "echo new"


def test_changed_command_is_kept_where_the_first_one_was(plane, host) -> None:
    """A kept command is not touched; the schedule gets one of its own beside it, which can be looked up."""
    host()
    command = plane.dispatcher.create_command(name="nightly", command_content="true", timeout_s=5)
    invocation = plane.dispatcher.invoke_command(command.command_id, instance_ids=["host-1"], frequency=EVERY_MINUTE)

    changed = plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, command_content="false")

    kept = {c.command_id: c.command_content for c in plane.dispatcher.describe_commands(name="nightly").items}
    assert kept == {command.command_id: "true", changed: "false"}


def test_change_that_would_keep_one_command_too_many_is_refused(make_plane, plane, host) -> None:
    """The quota is named as this action names it, and the schedule stays as it was."""
    host()
    command = plane.dispatcher.create_command(name="nightly", command_content="true", timeout_s=5)
    invocation = plane.dispatcher.invoke_command(command.command_id, instance_ids=["host-1"], frequency=EVERY_MINUTE)

    with refused("CommandLimitExceeded"):
        make_plane(commands_max=1).dispatcher.modify_invocation_attribute(invocation.invoke_id, command_content="false")

    assert plane.dispatcher.describe_schedules().items[0].command_content == "true"


def test_same_request_again_changes_nothing(plane, host) -> None:
    """The current command's id is the answer, and there is no new one."""
    host()
    invocation = schedule(plane)

    first = plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, command_content="echo new")
    second = plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, command_content="echo new")

    assert first == second
    assert plane.dispatcher.describe_schedules().items[0].version == 2


def test_parameters_change_and_secrets_stay_masked(plane, host, beat) -> None:
    """The next run has the new values, beside those that were not named; what shows them does not show secrets."""
    one = host()
    rules = [{"parameter_name": "key", "secret": True}]
    invocation = schedule(
        plane,
        command_content="echo {{who}} {{key}}",
        enable_parameter=True,
        parameters={"who": "me", "key": "s3cret"},
        parameter_definitions=rules,
    )

    plane.dispatcher.modify_invocation_attribute(
        invocation.invoke_id, enable_parameter=True, parameters={"who": "you", "key": "n3w"}
    )
    beat.at(next_time(plane, invocation))

    (order,) = one.orders()
    assert order.parameters == {"who": "you", "key": "n3w"}
    assert invocation.record().parameters == {"who": "you", "key": "******"}
    plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, enable_parameter=True, parameters={"who": "her"})
    one.start(order.invocation_id)
    one.finish(order.invocation_id)
    plane.settle()
    beat.at(next_time(plane, invocation))
    assert one.orders()[0].parameters == {"who": "her", "key": "n3w"}


def test_frequency_changes_at_once_and_a_rate_counts_from_the_creation(plane, host, beat) -> None:
    """The old time is void, and the grid is the one that the schedule would have had from its beginning."""
    one = host()
    invocation = schedule(plane)
    old = next_time(plane, invocation)
    created = invocation.record().creation_time.replace(microsecond=0)

    plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, frequency="rate(7m)")
    beat.at(old)
    at_the_old_time = one.orders()
    beat.at(created + 7 * MINUTE)

    assert not at_the_old_time
    assert [run.due_time for run in invocation.runs()] == [created + 7 * MINUTE]
    assert (invocation.record().frequency, len(one.orders())) == ("rate(7m)", 1)


def test_instances_are_added(plane, host, beat) -> None:
    """They have their row at once and take part from the next run on; who is in already stays as he is."""
    one, two = host("host-1"), host("host-2")
    invocation = schedule(plane)
    beat.at(next_time(plane, invocation))
    run_through(plane, one)

    plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, instance_ids=["host-1", "host-2"])
    joined = row(invocation, "host-2").invocation_status
    beat.at(next_time(plane, invocation))

    assert (joined, row(invocation, "host-1").repeats) == ("Scheduled", 1)
    assert (len(one.orders()), len(two.orders())) == (1, 1)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"frequency": "rate(1s)"}, "InvalidParameter.Frequency"),
        ({"frequency": "nonsense"}, "InvalidParameter.Frequency"),
        ({"frequency": "0/20 * * * * ?"}, "InvalidParameter.Schedule"),
        ({"command_content": "!", "content_encoding": "Base64"}, "InvalidCommandContent.DecodeError"),
        ({"command_content": "x" * 25_000}, "InvalidCommandContent.LengthLimitExceeded"),
        ({"enable_parameter": True, "parameters": {"": "x"}}, "InvalidParameters.KeyEmpty"),
        ({"enable_parameter": True, "parameters": {"a b": "x"}}, "InvalidParameters.KeyMalformed"),
        ({"enable_parameter": True, "parameters": {"stranger": "x"}}, "InvalidParameters.KeyNotMatch"),
        ({"enable_parameter": True, "parameters": {"k" * 65: "x"}}, "InvalidParameters.KeyLengthLimitExceeded"),
        (
            {"enable_parameter": True, "parameters": {f"k{number}": "x" for number in range(21)}},
            "InvalidParameters.CountLimitExceeded",
        ),
        (
            {"command_content": "echo {{who}}", "enable_parameter": True, "parameters": {"who": 1}},
            "InvalidParameters.ValueTypeUnsupported",
        ),
        (
            {"command_content": "echo {{who}}", "enable_parameter": True, "parameters": {"who": "a", "WHO": "b"}},
            "InvalidParameters.KeyDuplicate",
        ),
        ({"parameters": {"who": "x"}}, "Parameter.Disabled"),
        ({"instance_ids": [f"more-{number}" for number in range(3)]}, "InvalidInstanceId.CountLimitExceeded"),
    ],
)
def test_change_that_cannot_be_is_refused_and_leaves_the_schedule_as_it_was(
    make_plane, plane, host, values, code
) -> None:
    """With the names that this action has for what is wrong."""
    host()
    invocation = schedule(plane, jitter_s=20)
    before = plane.dispatcher.describe_schedules().items

    with refused(code):
        make_plane(instances_per_call_max=3).dispatcher.modify_invocation_attribute(invocation.invoke_id, **values)

    assert plane.dispatcher.describe_schedules().items == before


def test_only_a_schedule_that_lives_can_be_changed(plane, host) -> None:
    """Not what runs once, not what is over, not what there is not."""
    host("host-1", tags={"env": "prod"})
    once = plane.dispatcher.run_command(command_content="true", instance_ids=["host-1"])
    over = schedule(plane)
    over.stop()
    tagged = schedule(plane, tags={"env": "prod"})
    modify = plane.dispatcher.modify_invocation_attribute

    for invoke_id, code in (
        (once.invoke_id, "InvalidOperation.RepeatModeUnsupported"),
        (over.invoke_id, "InvalidOperation.InvokeAlreadyFinished"),
        ("t-none", "InvalidInvokeId.NotFound"),
    ):
        with refused(code):
            modify(invoke_id, frequency="rate(5m)")
    with refused("InvalidResourceTag.ConflictWithInstanceIds"):
        modify(tagged.invoke_id, instance_ids=["host-2"])


def _meanwhile(monkeypatch, act) -> None:
    """Let *act* happen once, between a change's reading and its writing."""
    change = ScheduleRecords.change

    def changing(records, *arguments):
        monkeypatch.undo()
        act()
        return change(records, *arguments)

    monkeypatch.setattr(ScheduleRecords, "change", changing)


def test_changes_that_meet_all_hold(plane, host, monkeypatch) -> None:
    """What one caller changes is not undone by what another one read before."""
    host("host-1")
    invocation = schedule(plane)
    modify = partial(plane.dispatcher.modify_invocation_attribute, invocation.invoke_id)

    _meanwhile(monkeypatch, partial(modify, frequency="rate(7m)"))
    modify(command_content="echo new")
    _meanwhile(monkeypatch, partial(plane.dispatcher.pause_schedule, invocation.invoke_id))
    modify(instance_ids=["host-2"])
    _meanwhile(monkeypatch, partial(modify, instance_ids=["host-3"]))
    modify(instance_ids=["host-4"])

    (found,) = plane.dispatcher.describe_schedules().items
    assert (found.command_content, found.frequency) == ("echo new", "rate(7m)")
    assert (found.paused_time is not None, found.version) == (True, 7)
    assert [result.instance_id for result in invocation.results()] == ["host-1", "host-2", "host-3", "host-4"]
    assert len(plane.store.schedules.entries_of(invocation.invoke_id)) == 1


def test_change_of_a_schedule_that_ends_meanwhile_is_refused_and_leaves_nothing(plane, host, monkeypatch) -> None:
    """It does not come to life again, and no host waits for a run that never comes."""
    host("host-1")
    command = plane.dispatcher.create_command(name="nightly", command_content="true", timeout_s=5)
    invocation = plane.dispatcher.invoke_command(command.command_id, instance_ids=["host-1"], frequency=EVERY_MINUTE)

    _meanwhile(monkeypatch, invocation.stop)
    with refused("InvalidOperation.InvokeAlreadyFinished"):
        plane.dispatcher.modify_invocation_attribute(
            invocation.invoke_id, command_content="false", instance_ids=["host-2"]
        )

    assert [(r.instance_id, r.invocation_status) for r in invocation.results()] == [("host-1", "Cancelled")]
    assert [kept.command_content for kept in plane.dispatcher.describe_commands().items] == ["true"]
    assert not plane.store.client.exists("fleethand:due", "fleethand:schedules")


def test_change_after_the_clock_was_put_back_makes_no_second_run_and_the_schedule_ends(plane, host, beat) -> None:
    """A time that has had its run comes once more, and it is the last one."""
    one = host()
    invocation = schedule(plane, max_runs=2)
    due = next_time(plane, invocation)
    beat.at(due)
    run_through(plane, one)
    plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, frequency="0 0/1 * * * ? * UTC")
    assert next_time(plane, invocation) == due

    beat.at(due)

    assert not one.orders()
    assert (invocation.status, row(invocation).repeats, len(invocation.runs())) == ("Success", 1, 1)


def test_schedule_whose_last_time_has_come_can_be_changed_until_it_is_decided(plane, host, beat) -> None:
    """A time that is due already still counts, with the new content."""
    one = host()
    at = beat.now().replace(microsecond=0) + MINUTE
    invocation = schedule(plane, f"at({at:%Y-%m-%d %H:%M:%S})")
    plane.store.now_ms, now_ms = lambda: round(at.timestamp() * 1000) + 500, plane.store.now_ms
    plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, command_content="echo new")
    plane.store.now_ms = now_ms

    beat.at(at + timedelta(seconds=1))

    assert [order.content for order in one.orders()] == ["echo new"]
    with refused("InvalidOperation.InvokeAlreadyFinished"):
        plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, command_content="echo late")
