"""From one call to one honest answer, with real workers, a real aggregator and a real server."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from enrolled import enrol_worker
from fleet import Fleet, running_fleet
from processes import BIN, clean_environment
from waiting import wait_until

HOSTS = ("host-1", "host-2", "host-3")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run commands as another user")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three hosts for all tests of this file; none of them leaves anything running."""
    with running_fleet(tmp_path_factory.mktemp("main-path")) as fleet:
        yield fleet.started(*HOSTS)


def test_echo_ends_as_success_on_three_hosts(fleet: Fleet) -> None:
    """The main path: one call, three hosts, one status, each host's output, nothing run twice."""
    invocation = fleet.run("echo hello from $FLEETHAND_INSTANCE_ID", *HOSTS)

    record = invocation.wait(20)

    assert (record.invocation_status, record.counts) == ("Success", {"Success": 3})
    results = {result.instance_id: result for result in invocation.results()}
    assert {name: result.output for name, result in results.items()} == {name: f"hello from {name}\n" for name in HOSTS}
    assert {(result.exit_code, result.error_code, result.repeats) for result in results.values()} == {(0, "", 1)}
    assert {(invocation.invoke_id, name): 1 for name in HOSTS}.items() <= fleet.starts().items()


def test_exit_code_of_a_failure_is_told(fleet: Fleet) -> None:
    """One host that fails makes the batch PartialFailed; its exit code stands in its result."""
    invocation = fleet.run('test "$FLEETHAND_INSTANCE_ID" != host-2 || exit 3', *HOSTS)

    assert invocation.wait(20).invocation_status == "PartialFailed"
    result = fleet.result(invocation, "host-2")
    assert (result.invocation_status, result.exit_code, result.error_code) == ("Failed", 3, "ExitCodeNonzero")


def test_timeout_keeps_the_output_so_far(fleet: Fleet) -> None:
    """A command that runs too long is killed with all that it started, and what it said is kept."""
    invocation = fleet.run("echo so far\nsleep 300 & sleep 300", timeout_s=1)

    result = fleet.outcome(invocation)

    assert (result.invocation_status, result.error_code) == ("Timeout", "ExecutionTimeout")
    assert result.output == "so far\n"
    assert not fleet.processes_of(invocation)


def test_stop_ends_what_runs(fleet: Fleet) -> None:
    """A stop is confirmed by the host as Terminated, once nothing of the command lives."""
    invocation = fleet.run("echo begun\nsleep 300 & sleep 300", "host-1", "host-2")
    wait_until(lambda: fleet.starts_of(invocation) == 2, 20, "two starts")

    assert set(invocation.stop().values()) == {"stopping"}

    assert invocation.wait(20).invocation_status == "Stopped"
    assert {(r.invocation_status, r.output) for r in invocation.results()} == {("Terminated", "begun\n")}
    assert not fleet.processes_of(invocation)


def test_concurrency_is_limited_and_what_waits_can_be_stopped(fleet: Fleet) -> None:
    """One runs, one waits, one is refused; the one that waits ends as Cancelled and never starts."""
    fleet.worker("narrow", concurrency=1, queue_limit=1)
    fleet.wait_online("narrow")
    running = fleet.run("sleep 300", "narrow")
    fleet.wait_started(running)
    waiting = fleet.run("", "narrow")
    wait_until(lambda: fleet.entry(waiting, "narrow").is_dir(), 20, "the second order in the journal")

    refused = fleet.outcome(fleet.run("", "narrow"))
    waiting.stop()
    cancelled = fleet.outcome(waiting)
    running.stop()

    assert (refused.invocation_status, refused.error_code) == ("Aborted", "TaskConcurrencyLimit")
    assert (cancelled.invocation_status, cancelled.start_time) == ("Cancelled", None)
    assert fleet.outcome(running).invocation_status == "Terminated"
    assert fleet.starts_of(waiting) == 0


def test_output_is_live(fleet: Fleet) -> None:
    """The first output is there within a second of the start, then at least once a second while there is any."""
    invocation = fleet.run("for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done")

    events = list(invocation.follow(30))

    began = next(event.at for event in events if event.status == "Running" and event.kind == "status")
    pieces = [event for event in events if event.kind == "output"]
    moments = [began, *(piece.at for piece in pieces)]
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(moments)]
    assert gaps[0] <= 1.0
    assert max(gaps) <= 1.3  # 0.5 s between two looks, 0.4 s between two lines, and a machine that is busy
    assert fleet.outcome(invocation).output.startswith("".join(piece.data for piece in pieces))
    assert len(pieces) >= 3


def test_parameters_are_filled_in(fleet: Fleet) -> None:
    """As text they become part of the script; through the environment they can never become code."""
    nasty = "$(echo pwned); 'x' \"y\" `id`"
    as_text = fleet.run("echo {{what}} {{what}}", enable_parameter=True, parameters={"what": "twice"})
    as_variable = fleet.run(
        'printf %s "{{what}}"', enable_parameter=True, interpolation="env", parameters={"what": nasty}
    )

    assert fleet.outcome(as_text).output == "twice twice\n"
    assert fleet.outcome(as_variable).output == nasty


def test_built_in_parameters_are_filled_in_per_host(fleet: Fleet) -> None:
    """Each host puts its own id in; the invocation's id is the same everywhere."""
    script = "echo {{ACS::InstanceId}} {{ACS::InvokeId}} {{ACS::RegionId}}"
    invocation = fleet.run(script, *HOSTS, enable_parameter=True)

    invocation.wait(20)

    assert {r.instance_id: r.output for r in invocation.results()} == {
        name: f"{name} {invocation.invoke_id} local\n" for name in HOSTS
    }


@AS_ROOT
def test_run_as_another_user(fleet: Fleet) -> None:
    """A command runs as the user asked for, with that user's groups and home, and cannot read the journal."""
    invocation = fleet.dispatcher.run_command(
        command_content=f"id -un; id -gn; echo $HOME; ls {fleet.state_dir('host-1')} >/dev/null 2>&1 || echo closed",
        instance_ids=["host-1"],
        username="nobody",
        working_dir="/",
    )

    lines = fleet.outcome(invocation).output.splitlines()

    assert (lines[0], lines[3]) == ("nobody", "closed")


def test_working_directory_is_used(fleet: Fleet) -> None:
    """A command starts where it was asked to."""
    invocation = fleet.run("pwd", working_dir="/usr")

    assert fleet.outcome(invocation).output == "/usr\n"


def test_order_waits_for_an_offline_host(fleet: Fleet) -> None:
    """With `deliver_within_s`, an order for a host that is away waits, visibly, and runs when it is back."""
    fleet.worker("sleepy")
    fleet.wait_online("sleepy")
    assert fleet.workers["sleepy"].stop() == 0
    fleet.forget_heartbeat("sleepy")

    invocation = fleet.run("echo awake", "sleepy", deliver_within_s=600)
    assert fleet.result(invocation, "sleepy").waiting.startswith("waiting, last seen ")
    fleet.worker("sleepy")

    result = fleet.outcome(invocation)
    assert (result.invocation_status, result.output, result.waiting) == ("Success", "awake\n", "")
    assert fleet.starts_of(invocation) == 1


def test_waiting_order_is_withdrawn_by_a_stop(fleet: Fleet) -> None:
    """An order that no host has seen is Cancelled at once, and does not run when the host comes."""
    enrol_worker(fleet.server.url, fleet.keyring, "not-yet", fleet.state_dir("not-yet"))
    invocation = fleet.run("", "not-yet", deliver_within_s=600)

    assert invocation.stop() == {"not-yet": "cancelled"}
    assert invocation.status == "Stopped"
    fleet.worker("not-yet")
    fleet.wait_online("not-yet")

    fleet.works("not-yet")
    assert fleet.starts_of(invocation) == 0


def test_long_output_keeps_head_and_tail(fleet: Fleet) -> None:
    """24 KB are kept, the beginning and the end, and the bytes between them are counted."""
    invocation = fleet.run("seq 1 30000")
    whole = "".join(f"{number}\n" for number in range(1, 30001))

    result = fleet.outcome(invocation)

    assert (result.invocation_status, len(result.output) + result.dropped) == ("Success", len(whole))
    assert len(result.output) == 24 * 1024
    assert whole.startswith(result.output[:6000])
    assert whole.endswith(result.output[6000:])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"type": "RunBatScript"}, "CommandNotApplicable"),
        ({"type": "RunPowerShellScript"}, "CommandNotApplicable"),
        ({"username": "no-such-user"}, "AccountNotExists"),
        ({"working_dir": "/no/such/folder"}, "DirectoryNotExists"),
        ({"command_content": "{{ACS::Nonsense}}", "enable_parameter": True}, "InvalidSystemBuiltInParameter"),
        ({"command_content": "#!/no/such/interpreter\n"}, "InvalidCommandText"),
    ],
)
def test_what_a_host_cannot_run_is_invalid(fleet: Fleet, arguments: dict[str, object], code: str) -> None:
    """The host says why, with the spec's code; nothing was started."""
    if arguments.get("type") == "RunPowerShellScript" and shutil.which("pwsh"):
        pytest.skip("PowerShell is installed")
    invocation = fleet.dispatcher.run_command(**{"command_content": "true", "instance_ids": ["host-1"], **arguments})

    result = fleet.outcome(invocation)

    assert (result.invocation_status, result.error_code, result.start_time) == ("Invalid", code, None)
    assert invocation.status == "Failed"


def test_stock_celery_tools_read_the_app(fleet: Fleet) -> None:
    """`celery -A fleethand_dispatcher.celery_app` works."""
    run = subprocess.run(
        [BIN / "celery", "-A", "fleethand_dispatcher.celery_app", "report"],
        env=clean_environment(FLEETHAND_REDIS_URL=fleet.server.url),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert run.returncode == 0, run.stderr
    assert "software -> celery:5.7" in run.stdout
    assert "transport:redis" in run.stdout
