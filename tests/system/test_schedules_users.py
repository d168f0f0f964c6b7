"""What the beat does for schedules, under its own Redis user: `Fleet` fails a test in which anything was refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fleet import Fleet
from fleethand_dispatcher import Dispatcher
from fleethand_dispatcher.invocation import Invocation
from waiting import wait_until

EVERY_TEN_SECONDS = "0/10 * * * * ? * UTC"


def soon(fleet: Fleet, seconds: int) -> str:
    """Return the frequency of one run in so many seconds."""
    return f"at({datetime.fromtimestamp(fleet.store.now_ms() // 1000 + seconds, UTC):%Y-%m-%d %H:%M:%S})"


def outcomes(invocation: Invocation) -> list[tuple[str, str]]:
    """Return how each run of a schedule was decided, and why, the oldest first."""
    return [(run.outcome, run.reason) for run in reversed(invocation.runs())]


def test_beat_is_refused_nothing_whatever_a_schedule_asks_for(fleet: Fleet) -> None:
    """Targets of every kind, a principal's schedule, zones of the hosts, a blackout, overlaps, ends of every kind."""
    fleet.started("host-1", tags="env=prod")
    fleet.worker("host-2", tags="env=test", environ={"TZ": "Europe/Berlin"})
    fleet.wait_online("host-1", "host-2")
    fleet.beat()
    key = fleet.dispatcher.create_principal(name="ops", policies=["FleethandFullAccess"]).api_key
    today = datetime.fromtimestamp(fleet.store.now_ms() / 1000, UTC)
    closed = f"{today - timedelta(days=1):%Y-%m-%d %H:%M}/{today + timedelta(days=1):%Y-%m-%d %H:%M} UTC"

    def schedule(dispatcher: Dispatcher = fleet.dispatcher, **arguments: Any) -> Invocation:
        values = {"command_content": "echo run", "frequency": soon(fleet, 4), "timeout_s": 5, **arguments}
        return dispatcher.run_command(**values)

    with Dispatcher(settings=fleet.settings, keyring=fleet.keyring, api_key=key) as ops:
        fired = [
            schedule(all_instances=True),
            schedule(tags={"env": "prod"}),
            schedule(names=["*"]),
            schedule(ops, instance_ids=["host-1"]),
            schedule(instance_ids=["host-1"], frequency=EVERY_TEN_SECONDS, max_runs=1, stop_on_failure=True),
            schedule(instance_ids=["host-1", "host-2"], frequency="0/10 * * * * ?", max_runs=1),
        ]
    held = schedule(all_instances=True, blackout=[closed])
    slow = {"command_content": "sleep 12", "timeout_s": 20, "frequency": "0/20 * * * * ? * UTC", "max_runs": 2}
    overlapping = [schedule(instance_ids=["host-1"], overlap=policy, **slow) for policy in ("queue", "parallel")]

    for invocation in fired:
        wait_until(lambda invocation=invocation: invocation.status == "Success", 60, f"{invocation.invoke_id} to end")
    assert [outcome for outcome, _ in outcomes(held)] == ["held back"]
    for invocation in overlapping:
        wait_until(lambda invocation=invocation: outcomes(invocation), 60, "an overlapping schedule's run")
        invocation.stop()
    assert {run for invocation in fired for run, _ in outcomes(invocation)} == {"fired"}


def test_beat_is_refused_nothing_when_the_fleet_is_frozen_or_a_schedule_paused(fleet: Fleet) -> None:
    """A run that is due while the fleet is frozen is held back, with the reason; pausing and resuming work."""
    fleet.started("host-1")
    fleet.beat()
    frozen = fleet.run("echo run", frequency=soon(fleet, 4), timeout_s=5)
    paused = fleet.run("echo run", frequency=EVERY_TEN_SECONDS, timeout_s=5)
    fleet.dispatcher.freeze("moving house")
    fleet.dispatcher.pause_schedule(paused.invoke_id)

    wait_until(lambda: outcomes(frozen), 20, "a run that is held back")
    wait_until(lambda: outcomes(paused), 30, "a run that is not made")
    (outcome,) = outcomes(frozen)
    assert outcome[0] == "held back"
    assert "moving house" in outcome[1]
    fleet.dispatcher.unfreeze()
    fleet.dispatcher.resume_schedule(paused.invoke_id)
    wait_until(lambda: fleet.result(paused).repeats > 0, 30, "a run after all")
    paused.stop()
