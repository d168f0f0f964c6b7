"""`fleethand run` and `fleethand invoke`, against a fake `Dispatcher`."""

import json
from pathlib import Path
from typing import Any

import pytest

from fake_dispatcher import COMMAND_ID, INVOKE_ID, FakeDispatcher, cli, command, output, result, status
from fleethand_common.errors import RequestError, ServerUnavailableError, WaitTimeoutError
from fleethand_dispatcher.cli import waiting

ROW_KEYS = [
    "instance_id", "invocation_status", "exit_code", "output", "dropped", "error_code", "error_info", "start_time",
    "finished_time", "repeats", "authentic",
]  # fmt: skip


def fleet(**ends: str) -> FakeDispatcher:
    """Return a fake whose hosts said hi and ended so."""
    rows = [result(name, end, output="hi\n") for name, end in ends.items()]
    events = [event for name, end in ends.items() for event in (output(name, "hi\n"), status(name, end))]
    return FakeDispatcher(rows, events)


def test_run_prints_lines_on_stdout_and_the_summary_on_stderr() -> None:
    """Data and progress do not mix."""
    shown = cli(fleet(a="Success", b="Failed"), "run", "--all", "--", "echo", "hi")
    assert shown.stdout == "a| hi\nb| hi\n"
    failures, summary = shown.stderr.splitlines()
    assert failures == "Failed, exit code 3: b"
    assert summary.startswith(f"{INVOKE_ID} PartialFailed: 2 hosts, 1 Success, 1 Failed in ")
    assert shown.exit_code == 3


def test_run_folds_when_many_hosts_said_the_same() -> None:
    """The fold comes after the lines."""
    shown = cli(fleet(a="Success", b="Success", c="Success"), "run", "--all", "hostname")
    assert shown.stdout == "a| hi\nb| hi\nc| hi\n3 hosts said: hi\n"
    assert shown.exit_code == 0


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("auto", "a| hi\nb| hi\nc| hi\n3 hosts said: hi\n"),
        ("lines", "a| hi\nb| hi\nc| hi\n"),
        ("fold", "3 hosts said: hi\n"),
        ("none", ""),
    ],
)
def test_run_shows_output_as_asked(how: str, expected: str) -> None:
    """The four ways of --output."""
    shown = cli(fleet(a="Success", b="Success", c="Success"), "run", "--all", "--output", how, "hostname")
    assert shown.stdout == expected


def test_run_json_is_one_object_of_the_promised_shape() -> None:
    """Issue 2, section 5: every key, times as text, instances by id."""
    fake = FakeDispatcher([result("b", output="hi\n"), result("a", "Pending"), result("c", "Failed", dropped=7)])
    shown = cli(fake, "run", "--all", "--json", "--", "echo hi")
    found = json.loads(shown.stdout)
    assert list(found) == ["invocation_id", "invocation_status", "counts", "instances"]
    assert found["counts"] == {"Success": 1, "Pending": 1, "Failed": 1}
    assert [row["instance_id"] for row in found["instances"]] == ["a", "b", "c"]
    assert all(list(row) == ROW_KEYS for row in found["instances"])
    assert found["instances"][0] == {
        "instance_id": "a", "invocation_status": "Pending", "exit_code": None, "output": "", "dropped": 0,
        "error_code": "", "error_info": "", "start_time": "", "finished_time": "", "repeats": 0, "authentic": True,
    }  # fmt: skip
    assert found["instances"][1]["finished_time"] == "2026-01-31T23:59:59Z"
    assert shown.stderr == ""


def test_run_passes_everything_on() -> None:
    """Each option reaches the API under its name."""
    fake = fleet(a="Success")
    words = "run -t env=prod -t role=web --limit 10% --timeout 5m --deliver-within 7d --user www --working-dir /srv"
    more = "--parameter who=me --keep --command-name greet --client-token x --kill-only-process -- echo {{who}} $HOME"
    assert cli(fake, *words.split(), *more.split()).exit_code == 0
    arguments = fake.arguments("run_command")
    assert arguments == {
        "command_content": "echo '{{who}}' '$HOME'", "type": "RunShellScript", "name": "greet", "description": "",
        "keep_command": True, "parameters": {"who": "me"}, "enable_parameter": True, "interpolation": "text",
        "parameter_definitions": (), "instance_ids": (), "tags": {"env": "prod", "role": "web"}, "names": (),
        "all_instances": False, "limit": "10%", "require_known": False, "username": "www", "deliver_within_s": 604_800,
        "client_token": "x", "dry_run": False, "timeout_s": 300, "working_dir": "/srv", "termination_mode": "Process",
    }  # fmt: skip


def test_run_leaves_out_what_was_not_given() -> None:
    """The defaults are the API's; braces are plain text unless parameters are wanted."""
    fake = fleet(a="Success")
    cli(fake, "run", "--instance", "a,b", "-i", "a", "--", "docker ps --format '{{.Names}}'")
    arguments = fake.arguments("run_command")
    assert arguments["instance_ids"] == ("a", "b")
    assert arguments["enable_parameter"] is False
    assert not {"timeout_s", "working_dir", "termination_mode"} & set(arguments)


def test_run_takes_its_script_from_a_file_or_stdin(tmp_path: Path) -> None:
    """`--file x.sh`, `--file -` and a pipe."""
    script = tmp_path / "x.ps1"
    script.write_text("Get-Date\n")
    fake = fleet(a="Success")
    cli(fake, "run", "--all", "--file", str(script))
    assert fake.arguments("run_command")["command_content"] == "Get-Date\n"
    assert fake.arguments("run_command")["type"] == "RunPowerShellScript"
    for args in (("--file", "-"), ()):
        cli(fake, "run", "--all", *args, stdin="date\n")
        assert fake.arguments("run_command")["command_content"] == "date\n"


def test_run_takes_definitions() -> None:
    """A definition can say all that the API knows; a pattern may hold commas."""
    fake = fleet(a="Success")
    text = "who,required,secret,default=me,choices=me|you,description=Whom,pattern=[a-z]{1,3}"
    cli(fake, "run", "--all", "--env-parameters", "--define", text, "--", "echo", "{{who}}")
    arguments = fake.arguments("run_command")
    (definition,) = arguments["parameter_definitions"]
    assert definition.model_dump() == {
        "parameter_name": "who", "description": "Whom", "default_value": "me", "required": True,
        "possible_values": ("me", "you"), "pattern_regex": "[a-z]{1,3}", "secret": True,
    }  # fmt: skip
    assert arguments["interpolation"] == "env"
    assert arguments["command_content"] == 'echo "{{who}}"'


def test_parameter_file_keeps_a_secret_out_of_the_command_line(tmp_path: Path) -> None:
    """The value is the file's, without its last line end."""
    (tmp_path / "secret").write_text("s3cret\n")
    fake = fleet(a="Success")
    cli(fake, "run", "--all", "--parameter-file", f"key={tmp_path / 'secret'}", "--", "echo {{key}}")
    assert fake.arguments("run_command")["parameters"] == {"key": "s3cret"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--", "hostname"], "say on which hosts"),
        (["--all", "--name", "web-*", "hostname"], "one kind of target"),
        (["--tag", "env", "hostname"], "cannot use --tag 'env'"),
        (["--all", "--parameter", "x", "hostname"], "cannot use --parameter 'x'"),
        (["--all", "--timeout", "soon", "hostname"], "'soon' is no duration"),
        (["--all", "--timeout", "0.5", "hostname"], "whole number of seconds"),
        (["--all", "--type", "perl", "hostname"], "is not one of"),
        (["--all", "--define", "x,odd", "hostname"], "cannot use 'odd'"),
        (["--all"], "nothing to run"),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_usage_ends_with_2_and_sends_nothing(args: list[str], message: str) -> None:
    """Usage errors say what is wrong."""
    fake = fleet(a="Success")
    shown = cli(fake, "run", *args)
    assert shown.exit_code == 2
    assert message in shown.stderr
    assert fake.calls == []
    assert shown.stdout == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RequestError("InvalidInstance.NotFound", "cannot find web-9."),
            "error: cannot find web-9 (InvalidInstance.NotFound)",
        ),
        (ServerUnavailableError(), "(ServiceUnavailable)"),
    ],
)
def test_an_expected_error_is_one_line_and_1(error: Exception, line: str) -> None:
    """No traceback."""
    fake = fleet(a="Success")
    fake.raises = error
    shown = cli(fake, "run", "--all", "hostname")
    assert shown.exit_code == 1
    assert line in shown.stderr
    assert shown.stderr.startswith("error: ")
    assert shown.stdout == ""


@pytest.mark.parametrize(
    ("error", "code", "word"), [(WaitTimeoutError(), 124, "ran out"), (KeyboardInterrupt(), 130, "interrupted")]
)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_end_before_the_end_names_the_invocation(error: BaseException, code: int, word: str, as_json: bool) -> None:
    """The wait ran out, or Ctrl-C: the invocation goes on, and how to reach it is said."""
    fake = FakeDispatcher([result("a", "Running")], [output("a", "half a li")])
    fake.wait_ends_with = error
    shown = cli(fake, "run", "--all", "--wait-timeout", "1.5", *(["--json"] if as_json else []), "--", "sleep 9")
    assert shown.exit_code == code
    assert word in shown.stderr
    assert f"invocation {INVOKE_ID} goes on; see it with 'fleethand invocation follow {INVOKE_ID}'" in shown.stderr
    assert fake.arguments("wait" if as_json else "follow") == {"timeout_s": 1.5}
    if as_json:
        assert json.loads(shown.stdout)["counts"] == {"Running": 1}
    else:
        assert shown.stdout == "a| half a li\n"


def test_losing_the_server_names_the_invocation_too() -> None:
    """It goes on without us."""
    fake = fleet(a="Success")
    fake.wait_ends_with = ServerUnavailableError("cannot reach Redis")
    shown = cli(fake, "run", "--all", "hostname")
    assert shown.exit_code == 1
    assert f"invocation {INVOKE_ID} goes on" in shown.stderr
    assert "error: cannot reach Redis (ServiceUnavailable)" in shown.stderr


def test_detach_prints_the_id_and_does_not_wait() -> None:
    """The id is the data; with --json it is the usual object."""
    fake = FakeDispatcher([result("a", "Pending")])
    assert cli(fake, "run", "--all", "--detach", "hostname").stdout == INVOKE_ID + "\n"
    assert [verb for verb, _ in fake.calls] == ["run_command"]
    found = json.loads(cli(fake, "run", "--all", "-d", "--json", "hostname").stdout)
    assert (found["invocation_id"], found["invocation_status"]) == (INVOKE_ID, "Pending")


def test_dry_run_and_preview_send_nothing() -> None:
    """One asks the API to check, the other only for the targets."""
    fake = fleet(a="Success")
    shown = cli(fake, "run", "--all", "--dry-run", "hostname")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert "would reach 2 hosts" in shown.stderr
    assert fake.arguments("run_command")["dry_run"] is True
    fake.calls.clear()
    shown = cli(fake, "run", "--all", "--preview", "hostname")
    assert shown.stdout == "web-1\nweb-2\n"
    assert shown.stderr == "2 hosts: 1 online, 1 offline\n"
    assert [verb for verb, _ in fake.calls] == ["preview_targets"]


@pytest.mark.parametrize("given", [COMMAND_ID, "deploy"])
def test_invoke_takes_an_id_or_a_name(given: str) -> None:
    """Both end at the same command; options may follow."""
    fake = fleet(a="Success")
    shown = cli(fake, "invoke", given, "--all", "-p", "version=1.2", "--timeout", "10")
    assert shown.exit_code == 0
    arguments = fake.arguments("invoke_command")
    assert (arguments["command_id"], arguments["parameters"]) == (COMMAND_ID, {"version": "1.2"})
    assert "command_content" not in arguments


@pytest.mark.parametrize(
    ("names", "message"),
    [(["other"], "cannot find command 'deploy'"), (["deploy", "deploy"], "cannot choose: 'deploy' is the name of c-")],
)
def test_invoke_needs_one_command(names: list[str], message: str) -> None:
    """None, or more than one, is an error that names them."""
    fake = fleet(a="Success")
    fake.commands = [command(name) for name in names]
    shown = cli(fake, "invoke", "deploy", "--all")
    assert shown.exit_code == 1
    assert message in shown.stderr


def test_options_of_the_server_go_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fleethand --redis-url U run` and `fleethand run --redis-url U` mean the same; the last one counts."""
    urls: list[str] = []
    fake = fleet(a="Success")

    def connect(settings: Any) -> FakeDispatcher:
        urls.append(settings.redis_url)
        return fake

    from click.testing import CliRunner  # noqa: PLC0415

    from fleethand_dispatcher.cli.app import root  # noqa: PLC0415
    from fleethand_dispatcher.cli.session import Session  # noqa: PLC0415

    for args in (
        ["--redis-url", "redis://a", "run", "--all", "--", "id", "--redis-url", "c"],
        ["run", "--redis-url", "redis://b", "--all", "id"],
        ["--redis-url", "redis://a", "run", "--redis-url", "redis://b", "--all", "id"],
        ["invocation", "--redis-url", "redis://c", "show", "last"],
        ["invocation", "show", "last", "--redis-url", "redis://d"],
    ):
        shown = CliRunner().invoke(root, args, obj=Session(environ={}, connect=connect))
        assert shown.exit_code == 0, shown.output
    assert urls == ["redis://a", "redis://b", "redis://b", "redis://c", "redis://d"]


def test_hosts_that_are_awaited_are_told_while_one_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An order that waits for an offline host does so visibly; an error is left to the one who waits."""
    rows = [result("b", "Pending", waiting="waiting, last seen never"), result("c", "Pending")]
    fake = FakeDispatcher(rows)
    waiting._tell(fake, INVOKE_ID)  # type: ignore[arg-type]
    assert capsys.readouterr().err == "b: waiting, last seen never\n… 2 hosts have not taken it yet\n"
    monkeypatch.setattr(
        fake, "describe_invocation_results", lambda *_, **__: (_ for _ in ()).throw(ServerUnavailableError())
    )
    waiting._tell(fake, INVOKE_ID)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""
