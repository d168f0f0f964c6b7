"""A thousand invocations while everything is killed at random: each ends in one honest status, none is run twice.

FLEETHAND_CHAOS_INVOCATIONS makes it longer, FLEETHAND_TEST_SEED repeats one.
"""

import json
import os
from collections import Counter

import psutil
import pytest

from chaos import Asked, Harm, Load, chaos_settings
from fleet import Fleet, FleetFactory, seeded
from fleethand_common.states import TERMINAL
from fleethand_dispatcher import keys
from fleethand_dispatcher.models import InvocationResult
from invariants import check_records
from processes import MARK
from waiting import wait_until

HOSTS = [f"host-{number}" for number in range(1, 7)]
INVOCATIONS = int(os.environ.get("FLEETHAND_CHAOS_INVOCATIONS", "1000"))


@pytest.mark.slow
@pytest.mark.timeout(120 + INVOCATIONS // 5)
def test_chaos_ends_in_one_honest_answer_for_every_instance(make_fleet: FleetFactory) -> None:
    """Workers, supervisors, aggregators, connections and the broker die under load; then everything is counted."""
    chance = seeded()
    fleet = make_fleet(**chaos_settings())
    fleet.aggregator()
    fleet.started(*HOSTS)
    load = Load(fleet, HOSTS, chance, at_once=60)
    harm = Harm(fleet, HOSTS, chance, restarts=1 + INVOCATIONS // 2000)

    load.start(INVOCATIONS)
    harm.go_on_until(load.is_over)
    assert load.is_over()
    fleet.wait_online(*HOSTS)
    wait_until(lambda: load.unfinished() == 0, 60, "the end of all invocations")
    wait_until(lambda: not unreported(fleet), 30, "all outcomes reported")
    fleet.works(*HOSTS)

    invoke_ids = {each.invocation.invoke_id for each in load.asked}
    assert len(invoke_ids) == INVOCATIONS, "a client token ran twice"
    with fleet.server.client() as client:
        recorded = set(client.zrange(keys.INVOCATIONS, 0, -1))
    strays = recorded - invoke_ids
    assert len(strays) <= 1, f"a call whose answer was lost was made twice: {strays}"
    statuses = check_records(fleet, recorded)
    print(dict(harm.done), dict(statuses))  # noqa: T201 - pytest shows it with a failure
    starts = fleet.starts()
    assert max(starts.values()) == 1, [key for key, count in starts.items() if count > 1]
    for each in load.asked:
        for result in each.invocation.results():
            try:
                check_result(each, result, starts, harm)
            except AssertionError:
                story = fleet.dispatcher.explain(result.invoke_id, result.instance_id).steps
                print(each, *story, sep="\n")  # noqa: T201
                raise
    assert leftovers(fleet) == []
    assert all(worker.is_running for worker in fleet.workers.values())
    assert set(harm.done) >= {"worker", "supervisor", "aggregator", "connections", "broker"} or INVOCATIONS < 1000


def check_result(each: Asked, result: InvocationResult, starts: Counter[tuple[str, str]], harm: Harm) -> None:
    """Check that an answer is true: by the ledger of the scripts, and by what was done to this execution."""
    status, code = str(result.invocation_status), result.error_code
    count = starts[result.invoke_id, result.instance_id]
    assert result.invocation_status in TERMINAL, result
    assert not result.presumed, f"the host has had time to say what it knows: {result}"
    if status in ("Aborted", "Cancelled", "Invalid"):
        assert count == 0, f"it did run: {result}"
    elif status == "Error":
        assert code in ("ClientRestarted", "ExecutionInterrupted"), result
        assert (result.invoke_id, result.instance_id) in harm.killed_supervisors, f"nobody killed it: {result}"
    else:
        assert count == 1 or status in ("Terminated", "Timeout"), f"it did not run: {result}"
        assert status == each.ending or (each.ending == "Terminated" and status == "Timeout"), result


def unreported(fleet: Fleet) -> list[str]:
    """Return the journals' folders of executions that have not ended or were not reported."""
    entries = [e for name in HOSTS for e in (fleet.state_dir(name) / "executions").iterdir()]
    return [e.name for e in entries if not ((e / "result.json").exists() and (e / "reported").exists())]


def leftovers(fleet: Fleet) -> list[object]:
    """Return the processes that are neither ours nor should live any more: supervisors, scripts and their children."""
    ours = {program.pid for program in (*fleet.workers.values(), *fleet.aggregators)}
    found: list[object] = []
    for process in psutil.process_iter(["pid", "ppid", "status", "cmdline", "environ"]):
        if process.info["ppid"] in ours and "fleethand-worker" in " ".join(process.info["cmdline"] or []):
            continue  # a supervisor that waits for work; that none is busy was seen before
        environ = process.info["environ"] or {}
        is_script = environ.get("FLEETHAND_INVOCATION_ID") and fleet.ledger.as_posix() in json.dumps(
            process.info["cmdline"]
        )
        if (environ.get(MARK) == fleet.programs.mark or is_script) and process.pid not in ours:
            found.append((process.pid, process.info["status"], process.info["cmdline"]))
    return found
