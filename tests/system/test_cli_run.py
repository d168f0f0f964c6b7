"""`fleethand run` on real hosts: output, exit codes, what goes on without it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_fleet import HOSTS, Cli, read_line, running_fleet

ROW_KEYS = [
    "instance_id", "invocation_status", "exit_code", "output", "dropped", "error_code", "error_info", "start_time",
    "finished_time", "repeats", "authentic",
]  # fmt: skip


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Three hosts for all tests of this file."""
    with running_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


def test_run_on_all_hosts(cli: Cli) -> None:
    """The first thing that anybody tries."""
    ran = cli("run", "--all", "--", "echo", "hi")
    assert ran.returncode == 0
    lines = ran.stdout.splitlines()
    assert sorted(lines[:3]) == ["host-1| hi", "host-2| hi", "host-3| hi"]
    assert lines[3:] == ["3 hosts said: hi"]
    (summary,) = ran.stderr.splitlines()
    assert "Success: 3 hosts, 3 Success in " in summary


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--all", "--", "true"], 0),
        (["--all", "--limit", "x", "--", "true"], 1),
        (["--", "true"], 2),
        (["--all", "--enable-parameter", "--", "test {{ACS::InstanceId}} != host-2"], 3),
        (["--all", "--", "echo a; exit 3"], 4),
        (["--instance", "host-1", "--", "sh", "-c", "exit 3"], 4),
        (["--instance", "host-1,ghost", "--", "true"], 5),
        (["--tag", "env=prod", "--timeout", "1", "--", "sleep", "30"], 6),
        (["--all", "--wait-timeout", "0.5", "--", "sleep 2"], 124),
        (["--redis-url", "redis://127.0.0.1:1", "--all", "--", "true"], 1),
        (["--data", "/nowhere", "--all", "--", "true"], 1),
    ],
)
def test_exit_code(cli: Cli, args: list[str], code: int) -> None:
    """STYLE.md 1.7; never a traceback."""
    ran = cli("run", *args)
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr


def test_json_has_the_promised_shape(cli: Cli) -> None:
    """Issue 2, section 5, from real hosts."""
    found = cli.json("run", "--all", "--enable-parameter", "--", "echo hi; test {{ACS::InstanceId}} != host-2")
    assert list(found) == ["invocation_id", "invocation_status", "counts", "instances"]
    assert (found["invocation_status"], found["counts"]) == ("PartialFailed", {"Success": 2, "Failed": 1})
    assert [row["instance_id"] for row in found["instances"]] == list(HOSTS)
    assert all(list(row) == ROW_KEYS for row in found["instances"])
    first, second, _ = found["instances"]
    assert (first["exit_code"], first["output"], first["error_code"], first["dropped"]) == (0, "hi\n", "", 0)
    assert (second["exit_code"], second["error_code"]) == (1, "ExitCodeNonzero")
    assert len(first["start_time"]) == len("2026-01-31T23:59:59Z")


def test_output_is_shown_while_the_command_runs(cli: Cli) -> None:
    """The first line arrives before the command ends."""
    program = cli.start("run", "-i", "host-1", "--", "echo one; sleep 3; echo two")
    assert read_line(program) == "host-1| one\n"
    assert program.poll() is None
    rest, _ = program.communicate(timeout=20)
    assert rest == "host-1| two\n"


def test_ctrl_c_leaves_the_invocation_and_names_it(cli: Cli) -> None:
    """130, the id, and the command goes on."""
    program = cli.start("run", "-i", "host-1", "--", "echo go; sleep 2; echo end")
    assert read_line(program) == "host-1| go\n"
    program.send_signal(signal.SIGINT)
    _, stderr = program.communicate(timeout=20)
    assert program.returncode == 130
    invoke_id = cli.json("invocation", "show", "last")["invocation_id"]
    assert f"interrupted: invocation {invoke_id} goes on" in stderr
    assert "Traceback" not in stderr
    followed = cli("invocation", "follow", invoke_id)
    assert (followed.returncode, followed.stdout) == (0, "host-1| go\nhost-1| end\n")


def test_stop_ends_a_run_with_7(cli: Cli) -> None:
    """The waiting `run` sees that another one stopped it."""
    program = cli.start("run", "--all", "--", "echo go; sleep 60")
    read_line(program)
    cli.wait_for_status("Running")
    stopped = cli("invocation", "stop", "last", "--wait")
    assert stopped.returncode == 7
    assert stopped.stdout.splitlines()[0] == "host-1\tstopping"
    _, stderr = program.communicate(timeout=20)
    assert program.returncode == 7
    assert "Stopped: 3 hosts, 3 Terminated" in stderr


def test_detach_prints_the_id(cli: Cli) -> None:
    """And nothing else; following it later shows everything."""
    ran = cli("run", "-i", "host-2", "--detach", "--", "echo later")
    invoke_id = ran.stdout.strip()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert cli("invocation", "follow", invoke_id[:10]).stdout == "host-2| later\n"
    assert cli("results", invoke_id).stdout == "host-2| later\n"


@pytest.mark.parametrize("value", ["$(id)", "`id`; \"'", "a b  c", "-n"])
def test_env_parameters_never_become_code(cli: Cli, value: str) -> None:
    """The value is what the script sees, whatever stands in it; as a word of a program or in a line of shell."""
    for words in (["printf", "%s", "<{{who}}>"], ["printf '%s' \"<{{who}}>\""]):
        args = ["--env-parameters", "--no-prefix", "--parameter", f"who={value}"]
        assert cli("run", "-i", "host-1", *args, "--", *words).stdout == f"<{value}>\n"


def test_script_from_file_and_stdin(cli: Cli, tmp_path: Path) -> None:
    """Three ways to give more than one line."""
    script = tmp_path / "x.sh"
    script.write_text("for n in 1 2; do\n  echo $n\ndone\n")
    for args, stdin in ((["--file", str(script)], None), (["-f", "-"], script.read_text()), ([], script.read_text())):
        assert cli("run", "-i", "host-1", *args, stdin=stdin).stdout == "host-1| 1\nhost-1| 2\n"


def test_targets_by_tag_and_name(cli: Cli) -> None:
    """Preview and run agree."""
    assert cli("targets", "--tag", "env=prod").stdout == "host-1\nhost-2\n"
    ran = cli("run", "--tag", "env=prod", "--output", "lines", "--", "true")
    assert "2 hosts, 2 Success" in ran.stderr
    assert cli("run", "--all", "--preview", "--", "true").stdout.split() == list(HOSTS)


def test_dry_run_leaves_no_trace(cli: Cli) -> None:
    """Nothing is recorded."""
    before = cli("invocation", "list").stdout
    ran = cli("run", "--all", "--dry-run", "--", "true")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert cli("invocation", "list").stdout == before
    refused = cli("run", "--all", "--dry-run", "--timeout", "99d", "--", "true")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")


def test_a_flood_is_cut_and_counted(cli: Cli) -> None:
    """Head and tail are kept; how much is missing is said."""
    ran = cli("run", "-i", "host-1", "--output", "none", "--", "yes | head -c 1000000")
    assert "bytes of output were dropped" in ran.stderr
    (row,) = cli.json("results", "last")["instances"]
    assert row["dropped"] > 900_000


def test_a_reader_that_goes_away_is_no_crash(cli: Cli) -> None:
    """`fleethand … | head -1`."""
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [cli_path(), "instance", "list"],
        env=cli.environ({}),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (141, "")


def cli_path() -> str:
    """Return the program."""
    from processes import BIN  # noqa: PLC0415

    return str(BIN / "fleethand")
