"""A worker or a supervisor that dies at any moment: a command is not run twice, and its true end is told."""

import os
import signal

import psutil
import pytest

from fleet import Fleet, FleetFactory, seeded, spend
from fleethand_common.states import TERMINAL, InstanceStatus
from fleethand_dispatcher.models import InvocationResult
from waiting import wait_until

SHORT = "echo one; sleep 0.8; echo two; exit 7"
LONG = SHORT.replace("0.8", "5")
"""Goes on while a worker starts, on a busy machine too."""


@pytest.fixture
def fleet(fleet: Fleet) -> Fleet:
    """One host."""
    return fleet.started("host-1")


def test_killed_worker_follows_its_command_when_it_is_back(fleet: Fleet) -> None:
    """kill -9 in mid-command: the supervisor goes on, the next worker follows it, the true outcome arrives."""
    invocation = fleet.run(LONG)
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


def waiting_supervisor(fleet: Fleet) -> psutil.Process:
    """Return the supervisor that has just done something and waits for more."""
    invocation = fleet.run("exit 7")
    fleet.outcome(invocation)
    return psutil.Process(fleet.supervisor(invocation))


def test_supervisor_is_used_again_when_its_script_left_nothing(fleet: Fleet) -> None:
    """One process serves several short commands; what a script leaves behind is never another's to end."""
    first, second = waiting_supervisor(fleet), waiting_supervisor(fleet)
    leaving = fleet.run("sleep 30 > /dev/null & echo $!")
    child = psutil.Process(int(fleet.outcome(leaving).output))
    after = fleet.run("sleep 30")
    fleet.wait_started(after)
    after.stop()

    assert (first.pid, second.pid) == (second.pid, fleet.supervisor(leaving))
    assert fleet.supervisor(after) != second.pid
    assert fleet.outcome(after).invocation_status == "Terminated"
    assert child.is_running()
    child.kill()


def test_killed_waiting_supervisor_takes_no_command_along(fleet: Fleet) -> None:
    """kill -9 of one that waits: the next command gets a fresh one."""
    waiting_supervisor(fleet).kill()

    invocation = fleet.run(SHORT)

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.exit_code, result.output) == ("Failed", 7, "one\ntwo\n")
    assert fleet.starts_of(invocation) == 1


def test_frozen_waiting_supervisor_starts_its_command_when_it_goes_on(fleet: Fleet) -> None:
    """SIGSTOP of one that waits: the order waits with it, and runs once."""
    process = waiting_supervisor(fleet)
    process.suspend()
    invocation = fleet.run("exit 7")
    spend(1)
    assert fleet.starts_of(invocation) == 0
    process.resume()

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.exit_code) == ("Failed", 7)
    assert fleet.starts_of(invocation) == 1


def test_frozen_waiting_supervisor_starts_nothing_too_late(make_fleet: FleetFactory) -> None:
    """What was handed to a frozen process is refused when it goes on after the window."""
    fleet = make_fleet(delivery_window_s=2, lease_s=1).started("host-1")
    process = waiting_supervisor(fleet)
    process.suspend()
    invocation = fleet.run("exit 7")
    assert fleet.outcome(invocation).invocation_status == "Aborted"
    process.resume()

    def own_word() -> InvocationResult | None:
        result = fleet.outcome(invocation)
        return None if result.presumed else result

    result = wait_until(own_word, 20, "the host's own word")
    assert (result.invocation_status, result.error_code) == ("Aborted", "DeliveryTimeout")
    assert fleet.starts_of(invocation) == 0
