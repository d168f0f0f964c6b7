"""`fleethand principal`, `policy`, `audit`, `keys` and `freeze`, as an operator types them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_fleet import Cli
from fleethand_dispatcher import keys
from fleethand_dispatcher.keyring import Keyring
from processes import Programs
from servers import Server

POLICY = {
    "Version": "1",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["ecs:RunCommand", "ecs:DescribeInstances"],
            "Resource": "acs:ecs:*:*:instance/web-*",
        }
    ],
}


@pytest.fixture
def cli(redis_url: str, programs: Programs, keyring: Keyring, tmp_path: Path) -> Iterator[Cli]:
    """The command line on a server of its own control plane."""
    programs.folder.mkdir(parents=True)
    return Cli(redis_url, programs, keyring)


def test_principal_gets_a_key_and_is_held_to_its_policies(cli: Cli, tmp_path: Path) -> None:
    """The key is on stdout alone, shown once; with it, a denied command says why and exits with 1."""
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    assert cli("policy", "create", "web-only", str(tmp_path / "policy.json")).returncode == 0
    made = cli("principal", "create", "ops", "--policy", "web-only")
    (tmp_path / "key").write_text(made.stdout)

    denied = cli("run", "--instance", "db-1", "--api-key", f"@{tmp_path / 'key'}", "--", "id")
    allowed = cli("run", "--instance", "web-1", "--dry-run", "--", "id", FLEETHAND_API_KEY=made.stdout.strip())

    assert "not shown again" in made.stderr
    assert (denied.returncode, allowed.returncode) == (1, 0)
    assert "ops may not ecs:RunCommand on instance/db-1" in denied.stderr
    assert "(Forbidden.RAM)" in denied.stderr
    shown = cli("principal", "show", "ops", "--json").stdout
    assert made.stdout.strip() not in shown
    assert json.loads(shown)["policies"] == ["web-only"]
    assert cli("principal", "disable", "ops").returncode == 0
    off = cli("instance", "list", FLEETHAND_API_KEY=made.stdout.strip())
    assert (off.returncode, "disabled" in off.stderr) == (1, True)


def test_simulation_prints_the_decision_and_the_statement(cli: Cli, tmp_path: Path) -> None:
    """It exits with 3 if anything is denied, so that a script can ask."""
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    cli("policy", "create", "web-only", str(tmp_path / "policy.json"))
    cli("principal", "create", "ops")
    cli("policy", "attach", "--principal", "ops", "web-only")

    simulate = ("policy", "simulate", "--principal", "ops", "--action", "ecs:RunCommand", "--user", "root")
    allowed, denied = cli(*simulate, "--instance", "web-1"), cli(*simulate, "--instance", "db-1")

    assert (allowed.returncode, denied.returncode) == (0, 3)
    assert allowed.stdout.split("\t")[0] == "allowed"
    assert "statement 1 of the policy web-only allows it" in allowed.stdout
    assert "no statement allows it" in denied.stdout
    (found,) = cli.json(*simulate, "--instance", "web-1")
    assert (found["allowed"], found["policy"], found["statement"]) == (True, "web-only", 1)
    listed = {row["name"]: row["principals"] for row in cli.json("policy", "list")}
    assert listed["web-only"] == ["ops"]
    assert listed["FleethandReadOnly"] == []


def test_policy_that_is_wrong_is_refused_with_its_place(cli: Cli) -> None:
    """What is wrong, where, and what would be right."""
    wrong = cli("policy", "create", "p", "-", stdin='{"Version": "1", "Statement": [{"Effect": "Allow"}]}')

    assert (wrong.returncode, "Cannot use Statement[0].Action" in wrong.stderr) == (1, True)


def test_audit_is_listed_exported_and_verified(cli: Cli, server: Server, tmp_path: Path) -> None:
    """An altered entry is found, and so is an end that is gone; the anchor moves only with a whole log."""
    cli("principal", "create", "ops")
    cli("principal", "disable", "ops")
    anchor = tmp_path / "anchor"

    verified = cli("audit", "verify", "--anchor", str(anchor))
    exported = [json.loads(line) for line in cli("audit", "export").stdout.splitlines()]

    assert (verified.returncode, verified.stdout.startswith("ok: 2 entries, head 2 ")) == (0, True)
    assert [entry["action"] for entry in exported] == ["fleethand:CreatePrincipal", "fleethand:ModifyPrincipal"]
    assert exported[1]["previous"]
    assert "fleethand:ModifyPrincipal" in cli("audit", "list", "--last", "1").stdout
    with server.client() as client:
        client.xdel(keys.AUDIT, "2-0")
    gone = cli("audit", "verify", "--anchor", str(anchor))
    assert (gone.returncode, "its end is gone" in gone.stdout) == (1, True)
    assert cli("audit", "verify").returncode == 0
    assert cli.json("audit", "verify", "--anchor", str(anchor))["first_bad"] == 2


def test_freeze_is_told_to_whoever_runs_something(cli: Cli) -> None:
    """Who, and why."""
    frozen = cli("freeze", "--reason", "bad deployment")
    refused = cli("run", "--instance", "web-1", "--", "id")
    status = cli.json("freeze", "--status")

    assert frozen.stdout.startswith("frozen by operator at ")
    assert (refused.returncode, "because: bad deployment" in refused.stderr) == (1, True)
    assert (status["frozen"], status["reason"]) == (True, "bad deployment")
    assert cli("unfreeze").stdout.startswith("not frozen")
    assert cli("run", "--instance", "web-1", "--dry-run", "--", "id").returncode == 0


def test_keys_are_made_once_changed_and_revoked(redis_url: str, programs: Programs, tmp_path: Path) -> None:
    """No secret is printed; a second `create` is refused, and with --if-missing does nothing."""
    programs.folder.mkdir(parents=True)
    folder = tmp_path / "keys"
    bare = Cli(redis_url, programs, Keyring.create(tmp_path / "other"))
    environ = {"FLEETHAND_KEYS_DIR": str(folder)}

    made = bare("keys", "create", **environ)
    again = bare("keys", "create", **environ)
    missing = bare("keys", "create", "--if-missing", **environ)

    assert (made.returncode, made.stdout, again.returncode, missing.returncode) == (0, "", 1, 0)
    own = Cli(redis_url, programs, Keyring.load(folder))
    assert own("keys", "rotate", "--name", "second", "--starts-in", "0").returncode == 0
    assert own("keys", "revoke", "first").returncode == 0
    refused = own("keys", "revoke", "second")
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    rows = {row["name"]: row for row in own.json("keys", "list")}
    assert (rows["first"]["signs"], rows["second"]["signs"], bool(rows["first"]["revoked_time"])) == (False, True, True)
    secrets = [key.seed for key in Keyring.load(folder).signing_keys]
    log = own("audit", "export").stdout + own("keys", "list").stdout
    assert all(seed.hex() not in log for seed in secrets)
