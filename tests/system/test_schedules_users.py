"""What is done for schedules, each part under its own Redis user: `Fleet` fails a test in which one was refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from beat import EVERY_MINUTE, LEASE_MS, MINUTE, AnyTime, next_time
from fleet import Fleet, FleetFactory
from fleethand_common.messages import ExecutionOrder
from fleethand_dispatcher import Dispatcher, keys
from fleethand_dispatcher.aggregator import Aggregator
from fleethand_dispatcher.invocation import Invocation
from fleethand_dispatcher.lease import Lease
from fleethand_dispatcher.managed_instances import ManagedInstances
from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.retention import sweep
from fleethand_dispatcher.scheduling import zones
from fleethand_dispatcher.scheduling.firing import Engine
from fleethand_dispatcher.store import Store
from scripted_host import ScriptedHost
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


class Plane:
    """A beat and an aggregator in the test's own process, logged in as such, so that the beat's time can be set."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.dispatcher = fleet.dispatcher
        self.beats = Store.at(fleet.logins.url(Role.BEAT), fleet.keyring.vault)
        self.engine = Engine(self.beats, fleet.settings, AnyTime.load(fleet.keyring.folder))
        aggregators = Store.at(fleet.logins.url(Role.AGGREGATOR), fleet.keyring.vault)
        self.aggregator = Aggregator(aggregators, fleet.settings, fleet.keyring)
        self.hosts: list[ScriptedHost] = []

    def host(self, client: "redis.Redis", name: str, **facts: object) -> ScriptedHost:
        """Make a host that is online, and stays so whatever the time."""
        made = self.fleet.scripted_host(client, name)
        made.beat(**facts)
        self.hosts.append(made)
        self.settle()
        return made

    def settle(self) -> None:
        """Apply all reports."""
        while self.aggregator.step(0):
            pass

    def at(self, moment: datetime) -> None:
        """Do all that a beat does at *moment*."""
        holder = Lease(self.beats.client).take("beat", LEASE_MS)._replace(at_ms=round(moment.timestamp() * 1000))
        seen = {host.instance_id: holder.at_ms for host in self.hosts}
        self.fleet.store.client.zadd(keys.SEEN, seen)
        while any(self.engine.turn(holder)):
            pass

    def run_through(self) -> list[ExecutionOrder]:
        """Let the hosts carry out all orders that they have."""
        done = []
        for host in self.hosts:
            for order in host.orders():
                host.start(order.invocation_id)
                host.finish(order.invocation_id, output="hi\n")
                done.append(order)
        self.settle()
        return done


def test_beat_does_all_it_must_under_its_own_user(make_fleet: FleetFactory) -> None:
    """Every outcome, hosts that come, go and wait, zones, policies, a freeze, forgeries, and what is kept no longer."""
    fleet = make_fleet(schedule_runs_kept=3, retention_results=4)
    with fleet.server.client() as client:
        plane = Plane(fleet)
        web = plane.host(client, "web-1", tags={"role": "web"}, time_zone="Asia/Tokyo")
        fleet.dispatcher.create_principal("ops", policies=["FleethandFullAccess"])
        ops = fleet.dispatcher.as_principal(fleet.dispatcher.rotate_principal_key("ops").api_key)
        ids = {"command_content": "x", "instance_ids": ["web-1", "stranger"], "timeout_s": 5}
        tagged = ops.run_command(command_content="x", tags={"role": "web"}, frequency=EVERY_MINUTE, misfire="latest")
        queued = fleet.dispatcher.run_command(**ids, frequency=EVERY_MINUTE, overlap="queue")
        zoned = fleet.dispatcher.run_command(command_content="x", all_instances=True, frequency="0 * * * * ? *")
        ending = fleet.dispatcher.run_command(**ids, frequency=EVERY_MINUTE, max_runs=1, stop_on_failure=True)
        due = next_time(plane, tagged)

        plane.at(due)
        plane.at(due + MINUTE)
        plane.run_through()
        plane.at(due + MINUTE + timedelta(seconds=1))
        plane.host(client, "web-2", tags={"role": "web"}, time_zone="UTC")
        assert sum(zones.refresh(plane.beats, fleet.settings, plane.beats.now_ms())) == 1
        web.beat(tags={"role": "db"})
        plane.settle()
        fleet.dispatcher.freeze("a test")
        plane.at(due + 2 * MINUTE)
        fleet.dispatcher.unfreeze()
        plane.at(due + 2 * MINUTE + timedelta(seconds=40))
        fleet.dispatcher.disable_principal("ops")
        client.xadd(keys.FIRINGS, {"o": '{"id":"t-junk","due":1}'})
        plane.at(due + 3 * MINUTE)
        fleet.dispatcher.pause_schedule(queued.invoke_id)
        fleet.dispatcher.modify_invocation_attribute(zoned.invoke_id, frequency="0 0/2 * * * ? *")
        plane.at(due + 20 * MINUTE)
        plane.run_through()
        assert ending.status == "PartialFailed"
        assert (outcomes(fleet.dispatcher.invocation(tagged.invoke_id))[-1][0], outcomes(queued)[-1][0]) == (
            "denied",
            "paused",
        )
        zoned.stop()
        while sweep(plane.beats, fleet.settings):
            pass


def test_schedules_are_made_seen_and_changed_under_the_dispatchers_user(fleet: Fleet) -> None:
    """Every verb, and one firing of a real beat on a real worker."""
    fleet.started("host-1")
    fleet.beat()
    invocation = fleet.run("echo run", frequency=EVERY_TEN_SECONDS, timeout_s=5)
    other = fleet.run("echo no", frequency="rate(1h)")

    wait_until(lambda: fleet.result(invocation).repeats, 20, "a run")
    fleet.dispatcher.pause_schedule(other.invoke_id)
    fleet.dispatcher.resume_schedule(other.invoke_id)
    fleet.dispatcher.modify_invocation_attribute(other.invoke_id, command_content="echo yes", instance_ids=["host-2"])
    fleet.dispatcher.preview_schedule("0 0 9 * * ? *")
    fleet.dispatcher.describe_schedules()
    other.stop(["host-2"])
    invocation.stop()
    invocation.wait(20)
    fleet.dispatcher.describe_invocation_results(invocation.invoke_id, include_history=True)

    assert all(event.authentic for event in invocation.follow(20))
    assert fleet.dispatcher.verify_invocation(invocation.invoke_id).findings == ()
    assert fleet.dispatcher.verify_invocation(other.invoke_id).findings == ()


def test_host_that_is_deregistered_ends_its_run_under_the_registrars_user(fleet: Fleet) -> None:
    """The registration service changes rows of runs, and with them those of their schedules."""
    with fleet.server.client() as client:
        plane = Plane(fleet)
        plane.host(client, "host-1")
        invocation = fleet.run("x", frequency=EVERY_MINUTE, timeout_s=5)
        plane.at(next_time(plane, invocation))
        registrars = Store.at(fleet.logins.url(Role.REGISTRAR), fleet.keyring.vault)

        ManagedInstances(registrars, fleet.settings).deregister("host-1")

        assert fleet.result(invocation).error_code == "InstanceDeregistered"
