"""A worker or a supervisor that dies at any moment: a command is not run twice, and its true end is told."""

import contextlib
import os
import signal

import psutil
import pytest

from fleet import Fleet, FleetFactory, seeded, spend
from fleethand_common.states import TERMINAL, InstanceStatus
from nurseries import nursery_of
from waiting import wait_until

SHORT = "echo one; sleep 0.8; echo two; exit 7"


@pytest.fixture
def fleet(fleet: Fleet) -> Fleet:
    """One host."""
    return fleet.started("host-1")


def test_killed_worker_follows_its_command_when_it_is_back(fleet: Fleet) -> None:
    """kill -9 in mid-command: the supervisor goes on, the next worker follows it, the true outcome arrives."""
    invocation = fleet.run(SHORT)
    fleet.wait_started(invocation)
    fleet.workers["host-1"].kill()

    fleet.worker().wait_for_output("event=followed")

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.exit_code, result.output) == ("Failed", 7, "one\ntwo\n")
    assert (fleet.starts_of(invocation), result.repeats, result.presumed) == (1, 1, False)


def test_outcome_of_a_command_that_ended_without_a_worker_arrives(fleet: Fleet) -> None:
    """The supervisor writes the outcome down by itself; the next worker sends it."""
    invocation = fleet.run(SHORT)
    fleet.wait_started(invocation)
    fleet.workers["host-1"].kill()
    wait_until((fleet.entry(invocation) / "result.json").exists, 10, "the result in the journal")

    fleet.worker()

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.exit_code, result.output) == ("Failed", 7, "one\ntwo\n")
    assert fleet.starts_of(invocation) == 1


def test_killed_worker_and_supervisor_end_as_client_restarted(fleet: Fleet) -> None:
    """Nobody knows how it would have ended: it is an Error, and what was left of the script is killed."""
    invocation = fleet.run("sleep 300 & sleep 300")
    fleet.wait_started(invocation)
    supervisor = fleet.supervisor(invocation)
    fleet.workers["host-1"].kill()
    os.kill(supervisor, signal.SIGKILL)
    assert fleet.processes_of(invocation), "an orphaned script lives on until a worker is back"

    fleet.worker()

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.error_code) == ("Error", "ClientRestarted")
    assert result.start_time is not None
    fleet.wait_gone(invocation)
    assert fleet.starts_of(invocation) == 1
    fleet.works()


def test_killed_supervisor_ends_as_interrupted(fleet: Fleet) -> None:
    """The worker notices at once, says so, and kills what was left of the script."""
    invocation = fleet.run("sleep 300 & sleep 300")
    fleet.wait_started(invocation)
    os.kill(fleet.supervisor(invocation), signal.SIGKILL)

    result = fleet.outcome(invocation, 10)

    assert (result.invocation_status, result.error_code) == ("Error", "ExecutionInterrupted")
    fleet.wait_gone(invocation)
    fleet.works()


def test_script_killed_by_somebody_is_a_failure_of_the_command(fleet: Fleet) -> None:
    """kill -9 of the script alone: 128 + 9, as a shell would say it."""
    invocation = fleet.run("exec sleep 300")
    fleet.wait_started(invocation)
    (script,) = psutil.Process(fleet.supervisor(invocation)).children()
    script.kill()

    result = fleet.outcome(invocation, 10)

    assert (result.invocation_status, result.exit_code) == ("Failed", 137)
    assert "SIGKILL" in result.error_info
    fleet.wait_gone(invocation)


def test_worker_told_to_end_leaves_its_command_to_the_next(fleet: Fleet) -> None:
    """SIGTERM ends the worker at once and in good order; the command goes on, the next worker follows it."""
    invocation = fleet.run(SHORT)
    fleet.wait_started(invocation)

    assert fleet.workers["host-1"].stop(10) == 0
    assert fleet.processes_of(invocation)
    fleet.worker()

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.exit_code, result.output) == ("Failed", 7, "one\ntwo\n")
    assert fleet.starts_of(invocation) == 1


def test_stop_reaches_a_command_whose_worker_was_killed(fleet: Fleet) -> None:
    """A stop that was sent while no worker was there is carried out by the next one."""
    invocation = fleet.run("echo one; sleep 300")
    fleet.wait_started(invocation)
    wait_until(lambda: invocation.status == "Running", 10, "Running")
    fleet.workers["host-1"].kill()
    invocation.stop()

    fleet.worker()

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.output) == ("Terminated", "one\n")
    fleet.wait_gone(invocation)


def test_worker_killed_at_random_moments_starts_nothing_twice(fleet: Fleet) -> None:
    """kill -9 anywhere between the order's arrival, the journal, the start and the report; ten orders at each try."""
    chance = seeded()
    invocations = []
    for _ in range(4):
        invocations += [fleet.run("exit 5") for _ in range(10)]
        spend(chance.uniform(0, 0.08))
        fleet.workers["host-1"].kill()
        fleet.worker()
        fleet.wait_online("host-1")

    results = [fleet.outcome(invocation) for invocation in invocations]

    assert {result.invocation_status for result in results} <= TERMINAL
    starts = fleet.starts()
    for result in results:
        count = starts[(result.invoke_id, "host-1")]
        told = (result.invocation_status, result.error_code, count)
        # A supervisor killed along with the worker is another test; here every outcome is the command's own.
        assert told == ("Failed", "ExitCodeNonzero", 1), result


def test_frozen_worker_does_not_start_an_order_late(make_fleet: FleetFactory) -> None:
    """SIGSTOP past the delivery window, then SIGCONT: the host refuses, and Aborted is its own word then."""
    fleet = make_fleet(delivery_window_s=2).started("host-1")
    worker = fleet.workers["host-1"]
    worker.send(signal.SIGSTOP)

    invocation = fleet.run("")
    presumed = fleet.outcome(invocation)
    assert (presumed.invocation_status, presumed.presumed) == ("Aborted", True)
    worker.send(signal.SIGCONT)

    wait_until(lambda: not fleet.result(invocation).presumed, 15, "the host's own word")
    result = fleet.result(invocation)
    assert (result.invocation_status, result.error_code) == (InstanceStatus.ABORTED, "DeliveryTimeout")
    assert fleet.starts_of(invocation) == 0
    fleet.works()


def test_frozen_worker_reports_what_ended_meanwhile(fleet: Fleet) -> None:
    """SIGSTOP in mid-command, and the command ends: its outcome arrives when the worker goes on."""
    invocation = fleet.run(SHORT)
    fleet.wait_started(invocation)
    fleet.workers["host-1"].send(signal.SIGSTOP)
    wait_until((fleet.entry(invocation) / "result.json").exists, 10, "the result in the journal")
    assert invocation.status in ("Running", "Pending")

    fleet.workers["host-1"].send(signal.SIGCONT)

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.exit_code) == ("Failed", 7)


def nursery(fleet: Fleet) -> psutil.Process:
    """Make host-1 busy until it has a nursery that forks for it, and return that."""

    def found() -> psutil.Process | None:
        invocation = fleet.run("sleep 0.2")
        fleet.wait_started(invocation)
        parent = psutil.Process(fleet.supervisor(invocation)).ppid()
        process = nursery_of(fleet.workers["host-1"].pid)
        return process if process and process.pid == parent else None

    return wait_until(found, 20, "a nursery that works")


def test_killed_nursery_takes_no_command_along(fleet: Fleet) -> None:
    """kill -9 of the process that forks supervisors: what runs goes on, what comes next is forked by the worker."""
    process = nursery(fleet)
    invocation = fleet.run(SHORT)
    fleet.wait_started(invocation)
    process.kill()

    fleet.works()
    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.exit_code, result.output) == ("Failed", 7, "one\ntwo\n")
    assert fleet.starts_of(invocation) == 1


def test_frozen_nursery_starts_nothing_behind_the_workers_back(fleet: Fleet) -> None:
    """SIGSTOP of the process that forks supervisors: the answer is true, and stays true when it goes on."""
    process = nursery(fleet)
    process.send_signal(signal.SIGSTOP)
    invocation = fleet.run("exit 7")

    result = fleet.outcome(invocation)
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGCONT)
    spend(1)
    fleet.works()

    expected = {("Failed", 7): 1, ("Error", None): 0, ("Aborted", None): 0}
    assert fleet.starts_of(invocation) == expected[result.invocation_status, result.exit_code], result
