"""Aggregators that die, or are not there: no report is lost, none counts twice, nobody is judged while one waits."""

import random
from collections import Counter

import pytest

from fleet import Fleet, FleetFactory, seeded, spend
from fleethand_common.celery_config import REPORTS_QUEUE
from fleethand_dispatcher import keys
from fleethand_dispatcher.invocation import Invocation
from invariants import check_records
from scripted_host import ScriptedHost
from waiting import wait_until

HOSTS = [f"host-{number:02}" for number in range(40)]
ROUNDS = 30


def test_aggregators_killed_at_random_lose_and_double_nothing(make_fleet: FleetFactory) -> None:
    """Two aggregators under 4,000 reports, killed four times at random: every row as its host said, counters right."""
    chance = seeded()
    fleet = make_fleet(report_batch=50, delivery_window_s=120, lease_s=60, arguments=("--appendonly", "no"))
    with fleet.server.client() as client:
        hosts = {name: fleet.scripted_host(client, name) for name in HOSTS}
        aggregators = [fleet.aggregator(), fleet.aggregator()]
        for host in hosts.values():
            host.beat(hello=True)
        wait_until(lambda: client.zcard(keys.SEEN) == len(HOSTS), 20, "all hosts seen")

        expected: dict[tuple[str, str], tuple[str, int, str]] = {}
        kills = set(chance.sample(range(2, ROUNDS - 2), 4))
        for number in range(ROUNDS):
            invocation = fleet.dispatcher.run_command(command_content="x", instance_ids=HOSTS)
            for name in HOSTS:
                expected[invocation.invoke_id, name] = report(hosts[name], invocation, chance)
            if number in kills:
                aggregators.pop(0).kill()
                aggregators.append(fleet.aggregator())

        wait_until(lambda: client.zcard(keys.UNFINISHED) == 0, 60, "the end of all invocations")
    invoke_ids = {invoke_id for invoke_id, _ in expected}
    actual = {
        (invoke_id, r.instance_id): (str(r.invocation_status), r.exit_code, r.output)
        for invoke_id in invoke_ids
        for r in fleet.dispatcher.iter_results(invoke_id)
    }
    assert actual == expected
    assert check_records(fleet, invoke_ids) == Counter(status for status, _, _ in expected.values())
    for invoke_id in invoke_ids:
        finals = Counter(
            e.instance_id for e in fleet.dispatcher.follow(invoke_id, 5) if e.kind == "status" and e.status in ENDS
        )
        assert set(finals.values()) == {1}, "an outcome was told twice"


ENDS = ("Success", "Failed")


def report(host: ScriptedHost, invocation: Invocation, chance: random.Random) -> tuple[str, int, str]:
    """Send all reports of one execution, some twice and in any order; return what must be told of it in the end."""
    invoke_id, exit_code = invocation.invoke_id, chance.choice((0, 0, 3))
    status, output = ("Failed", "bad\n") if exit_code else ("Success", "good\n")
    code = {"error_code": "ExitCodeNonzero"} if exit_code else {}
    sends = [
        lambda: host.accept(invoke_id),
        lambda: host.start(invoke_id),
        lambda: host.finish(invoke_id, status, exit_code=exit_code, output=output, **code),
    ]
    if chance.random() < 0.2:
        chance.shuffle(sends)
    if chance.random() < 0.2:
        sends.append(chance.choice(sends))
    for send in sends:
        send()
    return status, exit_code, output


def test_reports_wait_for_an_aggregator(fleet: Fleet) -> None:
    """No aggregator for a while: hosts work on, and all that they said is applied later."""
    fleet.started("host-1", "host-2")
    fleet.aggregators.pop().kill()
    invocations = [fleet.run("echo done; exit 4", "host-1", "host-2") for _ in range(5)]
    for invocation in invocations:
        wait_until(lambda i=invocation: fleet.starts_of(i) == 2, 20, "two starts")
    assert {invocation.status for invocation in invocations} == {"Pending"}

    fleet.aggregator()

    for invocation in invocations:
        invocation.wait(20)
        assert {(r.invocation_status, r.exit_code, r.output) for r in invocation.results()} == {("Failed", 4, "done\n")}
    check_records(fleet, [invocation.invoke_id for invocation in invocations])


@pytest.mark.parametrize("place", ["queue", "taken by a dead aggregator"])
def test_nobody_is_judged_while_reports_wait(make_fleet: FleetFactory, place: str) -> None:
    """The delivery window is over and the lease too, but the host's word is there, unread: it is read first."""
    fleet = make_fleet(delivery_window_s=1, lease_s=0.1, report_batch=1).started("host-1")
    fleet.aggregators.pop().kill()
    with fleet.server.client() as client:
        other = fleet.scripted_host(client, "other")
        for _ in range(5):
            other.beat()  # read first, one at a time
    invocation = fleet.run("echo done")
    wait_until((fleet.entry(invocation) / "reported").exists, 20, "the report sent")
    deadline_ms = fleet.store.now_ms() + 3500
    with fleet.server.client() as client:
        if place != "queue":
            # as an aggregator leaves it that died three seconds ago: others take it over only after ten
            client.rename(REPORTS_QUEUE, keys.TAKEN_PREFIX + "dead")
            client.hset(keys.AGGREGATORS, "dead", fleet.store.now_ms() - 3_000)
        wait_until(lambda: fleet.store.now_ms() > deadline_ms, 10, "every deadline passed")
        fleet.aggregator()

    result = fleet.outcome(invocation)

    assert (result.invocation_status, result.output) == ("Success", "done\n")
    assert "replaced" not in [step.what for step in fleet.dispatcher.explain(invocation.invoke_id, "host-1").steps]


def test_silent_host_is_judged_and_its_own_word_replaces_that(make_fleet: FleetFactory) -> None:
    """A host that is cut off for longer than timeout and lease is an Error by presumption; the truth wins, once."""
    fleet = make_fleet(lease_s=0.5, online_within_s=2).started("host-1")
    invocation = fleet.run("echo done; sleep 2; exit 6", timeout_s=3)
    fleet.wait_started(invocation)
    wait_until(lambda: invocation.status == "Running", 10, "Running")
    fleet.workers["host-1"].kill()

    presumed = fleet.outcome(invocation, 40)
    assert (presumed.invocation_status, presumed.error_code, presumed.presumed) == ("Error", "ClientNotResponse", True)
    fleet.worker()

    wait_until(lambda: not fleet.result(invocation).presumed, 20, "the host's own word")
    result = fleet.result(invocation)
    assert (result.invocation_status, result.exit_code, result.output) == ("Failed", 6, "done\n")
    spend(0.5)
    check_records(fleet, [invocation.invoke_id])
