"""What the command line says of commands, invocations, hosts and the control plane, from a real fleet."""

import json
from collections.abc import Iterator

import pytest

from cli_fleet import Cli, running_fleet


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Three hosts for all tests of this file."""
    with running_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


def test_a_kept_command_from_its_creation_to_its_end(cli: Cli) -> None:
    """Create, list, show, invoke, modify, clone, delete, by name and by id."""
    script = 'echo "hello {{who}} from {{ACS::InstanceId}}"'
    command_id = cli(
        "command", "create", "--name", "greet", "--define", "who,default=world", "--", script
    ).stdout.strip()
    assert cli("command", "show", "greet", "--content").stdout == script + "\n"
    assert cli("invoke", "greet", "-i", "host-1").stdout == "host-1| hello world from host-1\n"
    assert cli("invoke", command_id, "-i", "host-2", "-p", "who=you").stdout == "host-2| hello you from host-2\n"
    assert cli("render", "-i", "host-3", "--command", "greet").stdout == 'echo "hello world from host-3"\n'
    assert cli("command", "modify", "greet", "--timeout", "5m").returncode == 0
    (found,) = cli.json("command", "list", "--name", "greet")
    assert (found["command_id"], found["timeout_s"], found["invoke_times"]) == (command_id, 300, 2)
    assert cli("command", "clone", "greet", "--name", "greet-2").returncode == 0
    assert cli("command", "delete", "greet", "greet-2").returncode == 0
    gone = cli("invoke", "greet", "--all")
    assert (gone.returncode, "InvalidCmdId.NotFound" in gone.stderr) == (1, True)


def test_retry_runs_again_on_just_those_that_failed(cli: Cli) -> None:
    """A new invocation, with the same command."""
    first = cli.json("run", "--all", "--enable-parameter", "--", "test {{ACS::InstanceId}} != host-2")
    assert first["counts"] == {"Success": 2, "Failed": 1}
    again = cli.json("invocation", "retry", first["invocation_id"], "--only", "failed,aborted,timeout")
    assert again["invocation_id"] != first["invocation_id"]
    assert [row["instance_id"] for row in again["instances"]] == ["host-2"]
    assert cli("invocation", "retry", first["invocation_id"]).returncode == 4
    nothing = cli("invocation", "retry", first["invocation_id"], "--only", "timeout")
    assert (nothing.returncode, nothing.stderr[:6]) == (1, "error:")


def test_ids_can_be_short(cli: Cli) -> None:
    """`last`, and as few characters as tell ids apart."""
    invoke_id = cli("run", "-i", "host-1", "--detach", "--", "true").stdout.strip()
    for text in ("last", invoke_id, invoke_id[:8], invoke_id.upper()[:0] + invoke_id[:12]):
        assert cli.json("invocation", "show", text)["invocation_id"] == invoke_id
    cli("run", "-i", "host-1", "--", "true")
    many = cli("invocation", "show", "t-")
    assert (many.returncode, many.stderr.startswith("error: ")) == (1, True)


def test_explain_tells_each_step(cli: Cli) -> None:
    """With its time, from creation to the end."""
    cli("run", "-i", "host-1", "--", "exit 3")
    story = cli("explain", "last", "host-1").stdout
    assert "on host-1: Failed, exit code 3" in story.splitlines()[0]
    steps = [step["what"] for step in cli.json("explain", "last", "host-1")["steps"]]
    assert steps[0] == "created"
    assert steps[-1] == "Failed"
    unknown = cli("explain", "last", "ghost")
    assert (unknown.returncode, unknown.stderr[:6]) == (1, "error:")


def test_invocation_list_and_filters(cli: Cli) -> None:
    """Newest first."""
    cli("run", "-i", "host-3", "--command-name", "noise", "--", "exit 1")
    newest, *_ = cli.json("invocation", "list")
    assert (newest["command_name"], newest["invocation_status"]) == ("noise", "Failed")
    found = cli.json("invocation", "list", "--status", "Failed", "--instance", "host-3", "--max", "1")
    assert [row["invocation_id"] for row in found] == [newest["invocation_id"]]
    assert cli("invocation", "list", "--status", "odd").returncode == 2


def test_instances(cli: Cli) -> None:
    """What each host said of itself."""
    rows = cli.json("instance", "list", "--tag", "env=prod")
    assert [row["instance_id"] for row in rows] == ["host-1", "host-2"]
    assert all(row["online"] and row["tags"] == {"env": "prod"} and row["last_seen_at"] for row in rows)
    assert "os_version" in cli("instance", "show", "host-1").stdout
    assert cli.json("instance", "list", "--offline") == []


def test_doctor_finds_what_is_missing(cli: Cli) -> None:
    """All is well but the beat, which nobody started, and that we log in as the server's own user."""
    found = cli.json("doctor")
    verdicts = {row["check"]: row["verdict"] for row in found["checks"]}
    assert found["healthy"] is False
    assert verdicts.pop("beat") == "fail"
    assert verdicts.pop("login") == "warning"
    assert set(verdicts.values()) == {"ok"}
    assert cli("doctor").returncode == 1
    away = cli("doctor", "--redis-url", "redis://127.0.0.1:1")
    assert (away.returncode, away.stdout.split("\t")[:2]) == (1, ["server", "fail"])


def test_config_show_masks_the_password(cli: Cli) -> None:
    """Value, origin and meaning of each setting."""
    shown = cli("config", "show", FLEETHAND_LEASE_S="60", FLEETHAND_REDIS_URL="redis://:secret@host/0")
    assert "secret@" not in shown.stdout
    assert "redis_url\t******\tFLEETHAND_REDIS_URL\t" in shown.stdout
    assert "lease_s\t60.0\tFLEETHAND_LEASE_S\t" in shown.stdout


def test_dead_reports_can_be_read_and_dropped(cli: Cli) -> None:
    """A poisoned report stops nothing."""
    import redis  # noqa: PLC0415

    from waiting import wait_until  # noqa: PLC0415

    with redis.Redis.from_url(cli.url) as client:
        client.lpush("fleethand:reports", "{nonsense")
    wait_until(lambda: cli.json("report", "dead"), 10, "the dead report")
    assert "{nonsense" in cli("report", "dead").stdout
    forged, dropped = cli("report", "dead", "--drop").stderr.splitlines()
    assert forged.startswith("1 forged so far, NotSealed; the last at ")
    assert dropped == "1 dropped"
    assert cli.json("report", "dead") == []
    assert cli("run", "-i", "host-1", "--", "true").returncode == 0


def test_altered_records_are_told_loudly(cli: Cli) -> None:
    """Somebody with the server's password writes a failure over: each way of looking says so, verify ends with 1."""
    import redis  # noqa: PLC0415

    found = cli.json("run", "--all", "--enable-parameter", "--", "test {{ACS::InstanceId}} != host-2")
    ident = found["invocation_id"]
    whole = cli("invocation", "verify", ident)
    assert (whole.returncode, whole.stdout) == (0, "")
    assert whole.stderr == f"{ident}: 3 instances, all as it was recorded\n"
    with redis.Redis.from_url(cli.url) as client:
        rows = f"fleethand:inv:{ident}:rows"
        client.hset(rows, "host-2", client.hget(rows, "host-2").replace(b"Failed", b"Success"))  # type: ignore[union-attr]

    warning = "WARNING: what is recorded of host-2 was altered in Redis; do not trust it, and see 'fleethand invocation"
    assert warning in cli("results", ident).stderr
    assert warning in cli("invocation", "show", ident).stderr
    assert {row["instance_id"]: row["authentic"] for row in cli.json("results", ident)["instances"]} == {
        "host-1": True,
        "host-2": False,
        "host-3": True,
    }
    altered = cli("invocation", "verify", ident)
    assert altered.returncode == 1
    assert "host-2\tnobody recorded that it ended as Success\n" in altered.stdout
    assert "findings: do not trust it" in altered.stderr
    assert json.loads(cli("invocation", "verify", ident, "--json").stdout)["authentic"] is False
