"""By whose rights schedules run: those of who made them or changed them last, as they are at each run; and freezing."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis

from beat import MINUTE, Beat, next_time, outcomes, run_through, schedule
from fleethand_common.errors import RequestError
from fleethand_dispatcher.dispatcher import Dispatcher
from fleethand_dispatcher.keyring import Keyring

Ops = Callable[..., Dispatcher]
EVERYTHING = ["ecs:RunCommand", "ecs:ModifyInvocationAttribute", "fleethand:*Schedule*", "ecs:DescribeInvocation*"]


@pytest.fixture
def ops(plane) -> Ops:
    """Make a principal that may do these actions on these instances, and return the dispatcher as it sees it."""

    def make(*instances: str, name: str = "ops", actions: list[str] = EVERYTHING) -> Dispatcher:
        resources = [f"acs:ecs:*:*:instance/{instance}" for instance in instances]
        document = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": resources}]}
        plane.dispatcher.create_policy(f"{name}-policy", document, replace=True)
        key = plane.dispatcher.create_principal(name, policies=[f"{name}-policy"])
        return plane.dispatcher.as_principal(key.api_key)

    return make


class AsOps:
    """A control plane whose dispatcher is a principal's."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher


def newest(plane, action: str) -> Any:
    """Return the newest entry of the audit log on an action."""
    return [entry for entry in plane.dispatcher.iter_audit_log() if entry.action == action][-1]


def test_schedule_of_a_disabled_principal_does_not_fire(plane, host, beat, ops: Ops) -> None:
    """The run is a row that says so, the denial is audited, and the schedule goes on when its maker may again."""
    one = host()
    invocation = schedule(AsOps(ops("host-1")))
    plane.dispatcher.disable_principal("ops")

    due = next_time(plane, invocation)
    beat.at(due)

    assert not one.orders()
    (run,) = plane.dispatcher.describe_schedule_runs(invocation.invoke_id)
    assert (run.outcome, "ops is disabled" in run.reason) == ("denied", True)
    assert (newest(plane, "fleethand:Authenticate").actor, newest(plane, "fleethand:Authenticate").outcome) == (
        "ops",
        "denied",
    )
    plane.dispatcher.enable_principal("ops")
    beat.at(due + MINUTE)
    assert len(one.orders()) == 1


def test_run_is_denied_as_a_whole_where_policies_do_not_allow_it_any_more(plane, host, beat, ops: Ops) -> None:
    """One host that joined and is not allowed denies it, as it would a call; the row names it."""
    one = host("host-1", tags={"role": "web"})
    made = schedule(AsOps(ops("host-1")), tags={"role": "web"})
    other = host("other", tags={"role": "web"})

    beat.at(next_time(plane, made))

    assert not one.orders()
    assert not other.orders()
    (run,) = plane.dispatcher.describe_schedule_runs(made.invoke_id)
    assert (run.outcome, "instance/other" in run.reason) == ("denied", True)
    entry = newest(plane, "ecs:RunCommand")
    assert (entry.actor, entry.outcome, entry.invoke_id) == ("ops", "denied", made.invoke_id)


def test_schedule_cannot_be_made_where_a_run_is_not_allowed(plane, host, ops: Ops) -> None:
    """It is decided when it is made, like any run; nothing is recorded."""
    host()

    with pytest.raises(RequestError) as caught:
        schedule(AsOps(ops("other")))

    assert caught.value.code == "Forbidden.RAM"
    assert not plane.dispatcher.describe_schedules().items


def test_whoever_changes_a_schedule_answers_for_its_runs(plane, host, beat, ops: Ops) -> None:
    """Otherwise somebody's content would run by somebody else's rights."""
    one = host()
    made = schedule(plane)
    weak = ops("host-1", name="weak", actions=["ecs:ModifyInvocationAttribute"])
    strong = ops("host-1", name="strong")

    with pytest.raises(RequestError) as caught:
        weak.modify_invocation_attribute(made.invoke_id, command_content="echo mine")
    strong.modify_invocation_attribute(made.invoke_id, command_content="echo mine")

    assert caught.value.code == "Forbidden.RAM"
    (shown,) = plane.dispatcher.describe_schedules().items
    assert (shown.principal, shown.command_content, shown.version) == ("strong", "echo mine", 2)
    plane.dispatcher.delete_principal("strong")
    beat.at(next_time(plane, made))
    assert (one.orders(), outcomes(made)) == ([], ["denied"])


def test_principal_sees_and_pauses_only_schedules_of_its_instances(plane, host, ops: Ops) -> None:
    """As with any invocation; pausing needs all of its instances."""
    host("host-1")
    host("host-2")
    mine, other = schedule(plane), schedule(plane, instance_ids=["host-2"])
    both = schedule(plane, instance_ids=["host-1", "host-2"])
    caller = ops("host-1")

    assert {item.invoke_id for item in caller.describe_schedules().items} == {mine.invoke_id, both.invoke_id}
    caller.pause_schedule(mine.invoke_id)
    for invoke_id in (other.invoke_id, both.invoke_id):
        with pytest.raises(RequestError) as caught:
            caller.pause_schedule(invoke_id)
        assert caught.value.code == "Forbidden.RAM"
    entry = newest(plane, "fleethand:PauseSchedule")
    assert (entry.actor, entry.outcome) == ("ops", "denied")
    assert plane.dispatcher.describe_schedules(invoke_id=mine.invoke_id).items[0].paused_time is not None


def test_time_that_comes_while_the_fleet_is_frozen_is_held_back(plane, host, beat) -> None:
    """A row says who froze it and why; afterwards the schedule goes on, and by default nothing is made up for."""
    one = host()
    invocation = schedule(plane)
    due = next_time(plane, invocation)
    plane.dispatcher.freeze("an incident")

    beat.at(due)
    beat.at(due + MINUTE)
    assert (one.orders(), outcomes(invocation)) == ([], ["held back", "held back"])
    assert invocation.runs()[0].reason == "operator froze the fleet: an incident"
    plane.dispatcher.unfreeze()
    beat.at(due + MINUTE + timedelta(seconds=45))

    assert (one.orders(), outcomes(invocation)) == ([], ["held back", "held back"])
    beat.at(due + 2 * MINUTE)
    assert len(one.orders()) == 1
    assert outcomes(invocation) == ["held back", "held back", "fired"]


@pytest.mark.parametrize(("misfire", "made"), [("latest", [2]), ("all", [0, 1, 2])])
def test_misfire_policy_decides_after_a_freeze_as_after_an_outage(
    plane, host, beat, misfire: str, made: list[int]
) -> None:
    """As soon as it is over, and not at the next time; what is made up for has its one row."""
    one = host()
    invocation = schedule(plane, "0 0 * * * ? * UTC", misfire=misfire, overlap="parallel")
    due = next_time(plane, invocation)
    plane.dispatcher.freeze("an incident")
    times = [due + timedelta(hours=number) for number in range(3)]
    for moment in times:
        beat.at(moment)
    plane.dispatcher.unfreeze()

    for second in range(31, 40):
        beat.at(times[-1] + timedelta(seconds=second))
        run_through(plane, one)

    fired = {run.due_time for run in invocation.runs() if run.outcome == "fired"}
    assert fired == {times[number] for number in made}
    held = {run.due_time for run in invocation.runs() if run.outcome == "held back"}
    assert held == set(times) - fired
    assert next_time(plane, invocation) == times[-1] + timedelta(hours=1)


def test_only_time_of_a_schedule_is_made_up_for_after_a_freeze(plane, host, beat) -> None:
    """What was held back does not end it."""
    one = host()
    at = (beat.now() + 2 * MINUTE).replace(microsecond=0)
    invocation = schedule(plane, f"at({at:%Y-%m-%d %H:%M:%S})", misfire="latest")
    plane.dispatcher.freeze()
    beat.at(at)
    assert (invocation.status, outcomes(invocation)) == ("Scheduled", ["held back"])

    plane.dispatcher.unfreeze()
    beat.at(at + 5 * MINUTE)
    run_through(plane, one)

    assert (invocation.status, outcomes(invocation)) == ("Success", ["fired"])


def test_only_time_of_a_schedule_that_is_not_made_up_for_ends_it_after_the_freeze(plane, host, beat) -> None:
    """It is over, and never ran."""
    host()
    at = (beat.now() + 2 * MINUTE).replace(microsecond=0)
    invocation = schedule(plane, f"at({at:%Y-%m-%d %H:%M:%S})")
    plane.dispatcher.freeze()
    beat.at(at)

    plane.dispatcher.unfreeze()
    beat.at(at + 5 * MINUTE)

    assert (invocation.status, outcomes(invocation)) == ("Failed", ["held back"])
    assert not plane.dispatcher.describe_schedules().items


def test_beat_that_takes_over_lets_go_what_a_freeze_held_back(plane, host, beat, keyring) -> None:
    """The freeze may have ended while no beat worked."""
    one = host()
    invocation = schedule(plane, "0 0 * * * ? * UTC", misfire="latest")
    due = next_time(plane, invocation)
    plane.dispatcher.freeze()
    beat.at(due)
    beat.lease.give_back("beat")
    plane.dispatcher.unfreeze()

    Beat(plane.store, plane.settings, keyring, "spare").at(due + 5 * MINUTE)

    assert len(one.orders()) == 1
    assert outcomes(invocation) == ["fired"]


@pytest.mark.parametrize("meanwhile", ["paused", "held back and paused", "held back and changed"])
def test_end_of_a_freeze_is_no_alert_for_what_it_does_not_hold_back_any_more(plane, host, beat, meanwhile: str) -> None:
    """A schedule whose times have been decided, or are others by now, is not looked at before the next one."""
    host()
    invocation = schedule(plane)
    due = next_time(plane, invocation)
    plane.dispatcher.freeze("an incident")
    if "held back" in meanwhile:
        beat.at(due)
        due += MINUTE
    if "paused" in meanwhile:
        plane.dispatcher.pause_schedule(invocation.invoke_id)
        beat.at(due)
    plane.dispatcher.unfreeze()
    if "changed" in meanwhile:
        plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, frequency="0 30 * * * ? * UTC")

    beat.at(due + timedelta(seconds=1) if "paused" in meanwhile else beat.now())

    assert not [entry for entry in plane.dispatcher.iter_audit_log() if entry.action == "schedule.forged"]
    assert not plane.store.schedules.holds()


def test_time_that_a_freeze_held_back_is_decided_after_it_also_where_the_servers_answer_was_lost(
    plane, host, beat, monkeypatch
) -> None:
    """The server has held it back, and the beat does not know."""
    one = host()
    at = (beat.now() + 2 * MINUTE).replace(microsecond=0)
    invocation = schedule(plane, f"at({at:%Y-%m-%d %H:%M:%S})", misfire="latest")
    plane.dispatcher.freeze()
    fire = beat.store.schedules.fire

    def lose_the_answer(*arguments: Any) -> None:
        fire(*arguments)
        raise redis.ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(beat.store.schedules, "fire", lose_the_answer)
        with pytest.raises(redis.ConnectionError):
            beat.at(at)
    beat.at(at)
    plane.dispatcher.unfreeze()
    beat.at(at + 5 * MINUTE)

    assert len(run_through(plane, one)) == 1
    assert (invocation.status, outcomes(invocation)) == ("Success", ["fired"])


def test_run_that_was_decided_before_a_freeze_is_not_made_during_it(plane, host, beat, monkeypatch) -> None:
    """Between the decision and the run, too."""
    one = host()
    invocation = schedule(plane)
    due = next_time(plane, invocation)
    monkeypatch.setattr(beat.store.schedules, "outbox", lambda _: [])
    beat.at(due)
    monkeypatch.undo()
    plane.dispatcher.freeze("an incident")

    beat.at(due + timedelta(seconds=1))

    assert (one.orders(), outcomes(invocation)) == ([], ["held back"])


def test_schedule_cannot_be_made_or_changed_while_the_fleet_is_frozen(plane, host) -> None:
    """The same refusal as for a run; pausing and stopping go on."""
    host()
    invocation = schedule(plane)
    plane.dispatcher.freeze("an incident")

    for call in (
        lambda: schedule(plane),
        lambda: plane.dispatcher.modify_invocation_attribute(invocation.invoke_id, frequency="rate(5m)"),
    ):
        with pytest.raises(RequestError) as caught:
            call()
        assert caught.value.code == "Operation.Frozen"
    plane.dispatcher.pause_schedule(invocation.invoke_id)
    invocation.stop()


def test_run_without_a_key_to_sign_with_is_a_row_that_says_so(plane, host, tmp_path) -> None:
    """Never a silence."""
    one = host()
    invocation = schedule(plane)
    aggregators = tmp_path / "keys"
    shutil.copytree(plane.keyring.folder, aggregators, ignore=shutil.ignore_patterns("signing"))
    beat = Beat(plane.store, plane.settings, Keyring.load(aggregators))

    beat.at(next_time(plane, invocation))

    (run,) = invocation.runs()
    assert not one.orders()
    assert (run.outcome, "has no signing key" in run.reason) == ("skipped", True)


def test_host_that_is_deregistered_ends_its_run_and_not_the_schedule(plane, host, beat) -> None:
    """The run there is over; the next ones say that the instance is not enrolled."""
    one, two = host("host-1"), host("host-2")
    invocation = schedule(plane, instance_ids=["host-1", "host-2"])
    due = next_time(plane, invocation)
    beat.at(due)
    (order,) = one.orders()
    one.start(order.invocation_id)
    run_through(plane, two)

    plane.dispatcher.deregister_managed_instance("host-1")

    found = {result.instance_id: result for result in invocation.results()}
    assert (found["host-1"].invocation_status, found["host-1"].error_code) == ("Scheduled", "InstanceDeregistered")
    beat.at(due + MINUTE)
    found = {result.instance_id: result for result in invocation.results()}
    assert found["host-1"].error_code == "InstanceNotExists"
    assert found["host-1"].authentic
    assert len(two.orders()) == 1
