"""A schedule from the command line, with a real beat and real hosts: what a person changes and sees."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_fleet import Cli, read_line, running_fleet
from waiting import wait_until

EVERY_TEN_SECONDS = ("--timeout", "9", "--cron", "0/10 * * * * ? * UTC")


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Three hosts and a beat for all tests of this file."""
    with running_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        argv = (sys.executable, "-P", "-m", "celery", "-A", "fleethand_dispatcher.celery_app", "beat")
        fleet.programs.start(*argv, name="beat", environ=fleet.environ({}))
        yield fleet


def held_by(gate: Path) -> str:
    """Return a script that prints a line, and a second one once there is a file."""
    return f"echo begun; until [ -e {gate} ]; do sleep 0.1; done; echo ended"


def outputs(cli: Cli, run_id: str) -> dict[str, tuple[str, str]]:
    """Return how a run stands on each of its hosts, and what it printed there."""
    rows: list[dict[str, Any]] = cli.json("invocation", "show", run_id)["instances"]
    return {row["instance_id"]: (row["invocation_status"], row["output"]) for row in rows}


def test_modify_leaves_the_run_under_way_and_changes_the_next(cli: Cli, tmp_path: Path) -> None:
    """The run that is held ends as it began; the next one has the new script, on the new host too."""
    gate = tmp_path / "gate"
    schedule_id = cli("run", "-i", "host-1", *EVERY_TEN_SECONDS, "--", held_by(gate)).stdout.strip()

    def last_run() -> str:
        shown = cli.json("schedule", "show", schedule_id)
        return str((shown["last_run"] or {}).get("run_id", ""))

    first = wait_until(last_run, 20, "a first run")
    wait_until(lambda: outputs(cli, first)["host-1"][0] == "Running", 5, "the first run under way")
    changed = cli("schedule", "modify", schedule_id, "--add-instance", "host-2", "--", "echo other")
    gate.touch()
    second = wait_until(lambda: last_run() != first and last_run(), 20, "a second run")
    wait_until(lambda: {status for status, _ in outputs(cli, second).values()} == {"Success"}, 10, "its end")
    cli("schedule", "stop", schedule_id)

    assert (changed.returncode, "1 host more. A run under way is not disturbed." in changed.stderr) == (0, True)
    assert outputs(cli, first) == {"host-1": ("Success", "begun\nended\n")}
    assert outputs(cli, second) == {"host-1": ("Success", "other\n"), "host-2": ("Success", "other\n")}


def test_follow_shows_a_schedules_run_while_it_runs(cli: Cli, tmp_path: Path) -> None:
    """Its first line is there before it can end, and no line is shown twice."""
    gate = tmp_path / "gate"
    words = ("-i", "host-1", *EVERY_TEN_SECONDS, "--max-runs", "1", "--", held_by(gate))
    schedule_id = cli("run", *words).stdout.strip()
    follower = cli.start("invocation", "follow", schedule_id, "--output", "lines")

    shown = [read_line(follower)]
    gate.touch()
    shown += follower.communicate(timeout=20)[0].splitlines(keepends=True)

    assert shown == ["host-1| begun\n", "host-1| ended\n"]
    assert follower.returncode == 0
