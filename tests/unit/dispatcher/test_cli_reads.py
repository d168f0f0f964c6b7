"""The commands that look, against a fake `Dispatcher`."""

import json

import pytest

from fake_dispatcher import COMMAND_ID, INVOKE_ID, FakeDispatcher, cli, output, result, status


@pytest.fixture
def fake() -> FakeDispatcher:
    """Return a fleet of three; one failed."""
    rows = [result("b", output="hi\n"), result("a", "Failed", output="oh\n"), result("c", output="hi\n")]
    return FakeDispatcher(rows, [output("b", "hi\n"), status("b", "Success")])


def test_instance_list_json_is_a_list_of_objects(fake: FakeDispatcher) -> None:
    """Issue 2, section 5: at least these four, sorted by id."""
    found = json.loads(cli(fake, "instance", "list", "--json", "--tag", "env=prod", "--offline").stdout)
    assert [row["instance_id"] for row in found] == ["web-1", "web-2"]
    assert (found[0]["online"], found[0]["tags"]) == (True, {"env": "prod"})
    assert (found[0]["last_seen_at"], found[0]["last_invoked_time"]) == ("2026-01-31T23:59:59Z", "")
    assert fake.arguments("describe_instances")["online"] is False


def test_instance_list_is_tab_separated_in_a_pipe(fake: FakeDispatcher) -> None:
    """No header, nothing cut: made for `cut` and `awk`."""
    shown = cli(fake, "instance", "list").stdout.splitlines()
    assert shown[0].split("\t") == ["web-1", "web-1", "online", "0", "2026-01-31T23:59:59Z", "Debian 12", "env=prod"]


def test_instance_show(fake: FakeDispatcher) -> None:
    """One host, also one that is enrolled and never started, or an error that says there is none."""
    assert "instance_id" in cli(fake, "instance", "show", "web-1").stdout
    enrolled = json.loads(cli(fake, "instance", "show", "mi-1", "--json").stdout)
    assert (enrolled["managed"], enrolled["online"], enrolled["instance_name"]) == (True, False, "shop-001")
    assert json.loads(cli(fake, "instance", "show", "web-2", "--json").stdout)["online"] is False
    shown = cli(fake, "instance", "show", "web-9")
    assert (shown.exit_code, shown.stderr) == (
        1, "error: cannot find instance 'web-9': it was never enrolled nor seen (InvalidInstance.NotFound)\n"
    )  # fmt: skip


def test_invocation_list(fake: FakeDispatcher) -> None:
    """Filters go to the API, one call per status."""
    shown = cli(fake, "invocation", "list", "--status", "partialfailed", "--command", "deploy", "--instance", "a")
    assert shown.stdout.split("\t")[:2] == [INVOKE_ID, "PartialFailed"]
    arguments = fake.arguments("describe_invocations")
    assert (arguments["invocation_status"], arguments["command_id"]) == ("PartialFailed", COMMAND_ID)
    (row,) = json.loads(cli(fake, "invocation", "list", "--json").stdout)
    assert (row["invocation_id"], row["stop_time"], row["counts"]) == (INVOKE_ID, "", {"Success": 2, "Failed": 1})


def test_invocation_show(fake: FakeDispatcher) -> None:
    """The record, and which hosts did not succeed."""
    shown = cli(fake, "invocation", "show", "t-000")
    assert f"invocation_id      {INVOKE_ID}" in shown.stdout
    assert "a\tFailed, exit code 3" in shown.stdout
    found = json.loads(cli(fake, "invocation", "show", "last", "--json").stdout)
    assert found["command_content"] == "echo hi"
    assert len(found["instances"]) == 3


def test_an_unknown_invocation_is_an_error(fake: FakeDispatcher) -> None:
    """The API's code stands in the line."""
    for args in (["invocation", "show"], ["invocation", "follow"], ["invocation", "stop"], ["results"]):
        shown = cli(fake, *args, "t-9")
        assert shown.exit_code == 1
        assert shown.stderr == "error: cannot find invocation 't-9' (InvalidInvokeId.NotFound)\n"


def test_invocation_follow_shows_and_ends_as_run(fake: FakeDispatcher) -> None:
    """Live lines, the fold, the exit code."""
    shown = cli(fake, "invocation", "follow", "last")
    assert shown.exit_code == 3
    assert shown.stdout == "b| hi\n2 hosts said: hi\na said: oh\n"


def test_invocation_follow_json_is_a_line_per_event(fake: FakeDispatcher) -> None:
    """A stream can be read while it goes on."""
    shown = cli(fake, "invocation", "follow", "last", "--json")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(line["kind"], line["instance_id"], line["status"]) for line in lines] == [
        ("output", "b", "Running"),
        ("status", "b", "Success"),
    ]
    assert shown.exit_code == 3


def test_invocation_stop(fake: FakeDispatcher) -> None:
    """What became of the request, host by host."""
    assert cli(fake, "invocation", "stop", "last", "-i", "a").stdout == "a\tstopping\nb\tstopping\nc\tstopping\n"
    assert fake.arguments("stop_invocation")["instance_ids"] == ("a",)
    found = json.loads(cli(fake, "invocation", "stop", "last", "--json").stdout)
    assert found == {"invocation_id": INVOKE_ID, "instances": dict.fromkeys("abc", "stopping")}
    assert cli(fake, "invocation", "stop", "last", "--wait").exit_code == 3


def test_invocation_retry(fake: FakeDispatcher) -> None:
    """Statuses in any case; a new invocation is watched."""
    assert cli(fake, "invocation", "retry", "last", "--only", "failed,aborted,TIMEOUT").exit_code == 3
    assert fake.arguments("retry") == {"only": ("Failed", "Aborted", "Timeout")}
    assert cli(fake, "invocation", "retry", "last", "--detach").stdout == INVOKE_ID + "\n"
    shown = cli(fake, "invocation", "retry", "last", "--only", "broken")
    assert (shown.exit_code, "'broken' is not one of Pending" in shown.stderr) == (2, True)


def test_results(fake: FakeDispatcher) -> None:
    """Outputs with their hosts, failures below; a read ends with 0."""
    shown = cli(fake, "results", "last")
    assert (shown.exit_code, shown.stdout) == (0, "b| hi\na| oh\nc| hi\n")
    assert "Failed, exit code 3: a" in shown.stderr
    assert cli(fake, "results", "last", "--fold").stdout == "2 hosts said: hi\na said: oh\n"
    assert cli(fake, "results", "last", "--status", "failed", "--no-prefix").stdout == "oh\n"
    found = json.loads(cli(fake, "results", "last", "--json", "--instance", "c").stdout)
    assert [row["instance_id"] for row in found["instances"]] == ["c"]


def test_explain(fake: FakeDispatcher) -> None:
    """Each step with its time."""
    shown = cli(fake, "explain", "last", "b").stdout.splitlines()
    assert shown[0] == f"{INVOKE_ID} on b: Success"
    assert shown[2] == "  2026-01-31T23:59:59Z  +    0.000 s  Success      exit code 0"
    found = json.loads(cli(fake, "explain", "last", "b", "--json").stdout)
    assert found["steps"][0] == {"at": "2026-01-31T23:59:59Z", "what": "created", "detail": ""}


def test_render(fake: FakeDispatcher) -> None:
    """The script on stdout, its environment on stderr."""
    shown = cli(fake, "render", "-i", "a", "-p", "who=me", "--env-parameters", "--", "echo {{who}}")
    assert (shown.stdout, shown.stderr) == ("echo hi\n", "FLEETHAND_PARAM_WHO=me\n")
    assert fake.arguments("render")["interpolation"] == "env"
    cli(fake, "render", "-i", "a", "--command", "deploy")
    assert fake.arguments("render") == {"command_id": COMMAND_ID, "parameters": None, "instance_id": "a"}
    assert cli(fake, "render", "-i", "a", "--command", "deploy", "--", "id").exit_code == 2


def test_targets(fake: FakeDispatcher) -> None:
    """Ids on stdout, counts on stderr."""
    shown = cli(fake, "targets", "--name", "web-*", "--limit", "10%")
    assert (shown.stdout, shown.stderr) == ("web-1\nweb-2\n", "2 hosts: 1 online, 1 offline\n")
    assert json.loads(cli(fake, "targets", "--all", "--json").stdout)["instance_ids"] == ["web-1", "web-2"]


def test_report_dead(fake: FakeDispatcher) -> None:
    """Shown, and forgotten when asked to; of the forged ones their number."""
    forged = "7 forged so far, DoesNotOpen; the last at 2026-01-31T23:59:59Z\n"
    shown = cli(fake, "report", "dead")
    assert (shown.stdout, shown.stderr) == ("2026-01-31T23:59:59Z\tnot JSON\t{\n", forged)
    assert fake.calls == []
    shown = cli(fake, "report", "dead", "--drop", "--json")
    assert json.loads(shown.stdout)[0]["reason"] == "not JSON"
    assert shown.stderr == forged + "1 dropped\n"


def test_command_verbs(fake: FakeDispatcher) -> None:
    """Create, list, show, modify, clone and delete, by id or name."""
    shown = cli(fake, "command", "create", "--name", "greet", "--define", "who,default=me", "--", "echo", "{{who}}")
    assert shown.stdout == COMMAND_ID + "\n"
    created = fake.arguments("create_command")
    assert (created["name"], created["command_content"], created["enable_parameter"]) == (
        "greet",
        "echo '{{who}}'",
        True,
    )
    assert cli(fake, "command", "list").stdout == f"{COMMAND_ID}\tdeploy\tRunShellScript\t0\t\n"
    assert cli(fake, "command", "show", "deploy", "--content").stdout == "uptime\n"
    assert json.loads(cli(fake, "command", "show", "deploy", "--json").stdout)["command_id"] == COMMAND_ID
    assert "command_content" in cli(fake, "command", "show", COMMAND_ID).stdout
    cli(fake, "command", "modify", "deploy", "--timeout", "20m", "--name", "d2")
    assert fake.arguments("modify_command") == {"command_id": COMMAND_ID, "name": "d2", "timeout_s": 1200}
    assert cli(fake, "command", "clone", "deploy", "--", "id", "-u").stdout == "c-00000000000000000002\n"
    assert fake.arguments("clone_command") == {"command_id": COMMAND_ID, "command_content": "id -u"}
    assert cli(fake, "command", "delete", "deploy").stdout == COMMAND_ID + "\n"
    assert fake.arguments("delete_command") == {"command_id": COMMAND_ID}
    assert cli(fake, "command", "show", "other").exit_code == 1
