"""Hosts that enrol themselves, as programs: from an activation to a command that ran, and to the end of it."""

import dataclasses
import json
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from fleet import Fleet, FleetFactory
from fleethand_common import fingerprints
from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher import Dispatcher
from fleethand_dispatcher.cli.activation import register_command
from fleethand_dispatcher.models import NewActivation
from fleethand_dispatcher.redis_roles import Role
from fleethand_worker.credentials import CredentialFiles
from processes import BIN, Program, clean_environment
from registrar import Registrar
from waiting import wait_until


class Enroller:
    """A fleet with a registration service, and hosts with nothing but a folder."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        settings = dataclasses.replace(fleet.settings, users_redis_url=fleet.server.url)
        self.dispatcher = Dispatcher(settings=settings)
        fleet.aggregator()
        self.registrar = Registrar(fleet.programs, fleet.logins.url(Role.REGISTRAR), fleet.keyring)

    def folder(self, name: str) -> Path:
        """Return the state folder of a host."""
        return self.fleet.programs.folder / "hosts" / name

    def run(self, name: str, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run `fleethand-worker` on a host to its end; it has no setting but its folder."""
        return subprocess.run(
            [BIN / "fleethand-worker", *arguments, "--state-dir", self.folder(name)],
            env=clean_environment(**environ),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    def words(self, activation: NewActivation, *more: str) -> tuple[str, ...]:
        """Return the arguments that register a host."""
        service = ("--url", self.registrar.url, "--pin", self.registrar.pin)
        return ("register", *service, "--activation-id", activation.activation_id, *more)

    def register(self, name: str, activation: NewActivation, *more: str) -> str:
        """Register a host and return its instance id."""
        run = self.run(name, *self.words(activation, *more), FLEETHAND_ACTIVATION_CODE=activation.activation_code)
        assert run.returncode == 0, run.stderr
        first, second = run.stdout.splitlines()
        assert first == "register ok"
        return second.removeprefix("instance id: ")

    def start(self, name: str, *more: str) -> Program:
        """Start a host's worker."""
        argv = (BIN / "fleethand-worker", "start", "--state-dir", self.folder(name), *more)
        environ = {"FLEETHAND_HEARTBEAT_INTERVAL_S": "1", "FLEETHAND_RECONNECT_JITTER_S": "0.3"}
        return self.fleet.programs.start(*argv, name=f"worker-{name}", environ=environ)

    def managed(self) -> list[str]:
        """Return the ids of all enrolled hosts."""
        return [row.instance_id for row in self.dispatcher.describe_managed_instances(max_results=50).items]


@pytest.fixture
def enroller(make_fleet: FleetFactory) -> Iterator[Enroller]:
    """A fleet that hosts can join; each of its parts logs in as its own user, and was refused nothing that it needs."""
    enroller = Enroller(make_fleet())
    yield enroller
    enroller.dispatcher.close()
    parts = tuple(f"fleethand-{role}" for role in Role)
    assert not [text for text in enroller.fleet.logins.denied() if text.startswith(parts)]
    enroller.fleet.programs.kill_all()
    enroller.fleet.logins.forget_denied()  # hosts were refused here on purpose


def test_host_runs_a_command_when_it_is_registered_and_started(enroller: Enroller) -> None:
    """Without another setting; its files are its user's alone, and its Redis user can reach nothing but its own."""
    activation = enroller.dispatcher.create_activation(instance_name="web", tags={"env": "prod"})
    instance_id = enroller.register("a", activation, "--tag", "rack=7")
    enroller.start("a", "--tag", "env=mine", "--tag", "other=1", "--name", "elsewhere")
    enroller.fleet.wait_online(instance_id)

    outcome = enroller.fleet.outcome(enroller.fleet.run("echo fine", instance_id))

    assert (outcome.invocation_status, outcome.output) == (InstanceStatus.SUCCESS, "fine\n")
    (shown,) = enroller.dispatcher.describe_instances(instance_ids=[instance_id]).items
    assert (shown.instance_name, shown.tags) == ("web-001", {"env": "prod", "rack": "7"})
    assert enroller.dispatcher.preview_targets(tags={"env": "prod"}).instance_ids == (instance_id,)
    files = [path for path in enroller.folder("a").rglob("*") if path.is_file() and "executions" not in path.parts]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} <= {0o600}
    own_url = CredentialFiles(enroller.folder("a")).load().redis_url
    with redis.Redis.from_url(own_url) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.hgetall("fleethand:hosts")


def test_line_that_the_operator_is_shown_registers_a_host(enroller: Enroller) -> None:
    """`fleethand activation create` prints it; a shell runs it as it is."""
    line = register_command(enroller.dispatcher.create_activation(instance_name="web"))
    environ = clean_environment(FLEETHAND_STATE_DIR=str(enroller.folder("a")))

    run = subprocess.run(["bash", "-c", line], env=environ, capture_output=True, text=True, timeout=60, check=False)

    assert run.stdout.splitlines()[0] == "register ok", run.stderr


def test_registered_host_is_not_registered_again_unless_by_force(enroller: Enroller) -> None:
    """It is told the ways out, and nothing of it changes."""
    activation = enroller.dispatcher.create_activation()
    instance_id = enroller.register("a", activation)

    run = enroller.run("a", *enroller.words(activation), FLEETHAND_ACTIVATION_CODE=activation.activation_code)

    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith(f"register failed: cannot register: this host is {instance_id} already")
    assert "deregister" in run.stderr
    assert enroller.register("a", activation, "--force") == instance_id
    assert enroller.managed() == [instance_id]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--pin": "sha256:" + "0" * 64}, "cannot trust"),
        ({"--pin": ""}, "cannot trust"),
        ({"--pin": "sha256:short"}, "64 hex digits"),
        ({"--url": "http://127.0.0.1:1"}, "HTTPS only"),
        ({"--url": "https://127.0.0.1:1"}, "cannot reach"),
        ({"--activation-id": ""}, "without an activation"),
        ({"--activation-id": "4ECEEE12-56F1-4FBC-9AB1-890F1234ABCD"}, "do not fit"),
    ],
)
def test_registration_fails_and_leaves_nothing_when_the_service_is_not_the_one(
    enroller: Enroller, changes: dict[str, str], words: str
) -> None:
    """No identity; and the service has heard nothing if its certificate is another."""
    activation = enroller.dispatcher.create_activation()
    arguments = list(enroller.words(activation))
    for option, value in changes.items():
        arguments[arguments.index(option) + 1] = value

    run = enroller.run("a", *arguments, FLEETHAND_ACTIVATION_CODE=activation.activation_code)

    assert (run.returncode, run.stdout) == (1, "")
    assert words in run.stderr
    assert activation.activation_code not in run.stderr
    assert not CredentialFiles(enroller.folder("a")).exists()
    if "--pin" in changes:
        assert "event=answered" not in enroller.registrar.program.output()


@pytest.mark.parametrize("moment", ["register", "confirm", "written"])
def test_registration_that_is_killed_is_ended_by_the_same_command(enroller: Enroller, moment: str) -> None:
    """Whenever it is killed there is no identity or a whole one, and one use is counted in the end."""
    activation = enroller.dispatcher.create_activation(instance_count=1)
    code = {"FLEETHAND_ACTIVATION_CODE": activation.activation_code}
    stop_at = {"register": "_begin", "confirm": "_confirm", "written": "_confirm"}[moment]
    script = KILLED.format(name=stop_at, after=moment != "confirm", arguments=list(enroller.words(activation)))
    argv = [BIN / "python", "-c", script, "--state-dir", enroller.folder("a")]
    killed = subprocess.run(argv, env=clean_environment(**code), capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert CredentialFiles(enroller.folder("a")).exists() is (moment == "written")

    if moment == "written":
        instance_id = CredentialFiles(enroller.folder("a")).load().instance_id
    else:
        instance_id = enroller.register("a", activation)
    assert enroller.managed() == [instance_id]
    assert enroller.dispatcher.describe_activations().items[0].registered_count == 1
    enroller.start("a")
    enroller.fleet.wait_online(instance_id)


KILLED = """
import os, signal, sys
from fleethand_worker import cli, registering
step = registering.{name}
def killed(*arguments):
    if {after}:
        step(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
registering.{name} = killed
cli.main({arguments!r} + sys.argv[1:])
"""
"""`fleethand-worker register`, but for a kill before or after one of its steps."""


def test_registration_that_is_killed_while_it_asks_costs_no_use(enroller: Enroller) -> None:
    """The service is frozen while a host asks; the host is killed, and registers again with the only use."""
    activation = enroller.dispatcher.create_activation(instance_count=1)
    enroller.registrar.program.send(signal.SIGSTOP)
    argv = (BIN / "fleethand-worker", *enroller.words(activation), "--state-dir", enroller.folder("a"))
    code = {"FLEETHAND_ACTIVATION_CODE": activation.activation_code}
    asking = enroller.fleet.programs.start(*argv, environ=code)
    wait_until((enroller.folder("a") / "lock").exists, 20, "the start of the registration")
    asking.kill()
    enroller.registrar.program.send(signal.SIGCONT)

    assert enroller.register("a", activation) in enroller.managed()
    assert len(enroller.managed()) == 1


def test_code_can_come_from_a_file_or_from_stdin(enroller: Enroller, tmp_path: Path) -> None:
    """So that no process list shows it."""
    activation = enroller.dispatcher.create_activation()
    file = tmp_path / "code"
    file.write_text(activation.activation_code + "\n")

    run = enroller.run("a", *enroller.words(activation), "--activation-code-file", str(file))
    assert run.returncode == 0, run.stderr
    argv = [BIN / "fleethand-worker", *enroller.words(activation), "--activation-code-file", "-"]
    piped = subprocess.run(
        [*argv, "--state-dir", enroller.folder("b")],
        env=clean_environment(),
        input=activation.activation_code,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert piped.returncode == 0, piped.stderr


def test_deregistered_host_is_nobody_and_says_so(enroller: Enroller) -> None:
    """What had not ended there ends; its worker is cut off, asks, forgets who it was and ends."""
    activation = enroller.dispatcher.create_activation()
    instance_id = enroller.register("a", activation)
    url = CredentialFiles(enroller.folder("a")).load().redis_url
    worker = enroller.start("a")
    enroller.fleet.wait_online(instance_id)
    running = enroller.fleet.run("sleep 600", instance_id)
    enroller.fleet.wait_started(running)
    wait_until(lambda: running.status is InvocationStatus.RUNNING, 20, "the start in the records")

    gone = enroller.dispatcher.deregister_managed_instance(instance_id)

    assert gone.instance_id == instance_id
    result = enroller.fleet.outcome(running)
    assert (result.invocation_status, result.error_code) == (InstanceStatus.ERROR, "InstanceDeregistered")
    assert worker.wait(30) == 3
    assert "event=deregistered" in worker.output()
    assert not CredentialFiles(enroller.folder("a")).exists()
    assert "there is no identity" in enroller.run("a", "start").stderr
    with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    assert enroller.dispatcher.describe_instances().items == []


def test_host_that_the_broker_refuses_keeps_its_identity_while_it_is_enrolled(enroller: Enroller) -> None:
    """Whoever owns Redis can lock hosts out, and cannot make them forget who they are."""
    activation = enroller.dispatcher.create_activation()
    instance_id = enroller.register("a", activation)
    worker = enroller.start("a")
    enroller.fleet.wait_online(instance_id)

    with enroller.fleet.server.client() as client:
        client.acl_deluser(f"host-{instance_id}")
    worker.wait_for_output("event=refused_by_broker registration=enrolled")

    assert worker.is_running
    assert CredentialFiles(enroller.folder("a")).exists()


def test_host_deregisters_itself(enroller: Enroller) -> None:
    """Its worker must be stopped for that; afterwards it can register anew, as another instance."""
    activation = enroller.dispatcher.create_activation()
    instance_id = enroller.register("a", activation)
    worker = enroller.start("a")
    enroller.fleet.wait_online(instance_id)
    assert "another worker holds it" in enroller.run("a", "deregister").stderr
    worker.stop()

    run = enroller.run("a", "deregister")

    assert (run.returncode, run.stdout) == (0, f"deregister ok\ninstance id: {instance_id}\n")
    assert enroller.managed() == []
    assert enroller.register("a", activation) != instance_id


def test_host_forgets_nothing_when_the_service_cannot_be_told(enroller: Enroller) -> None:
    """Unless it is asked to; otherwise the control plane would go on to believe in it."""
    activation = enroller.dispatcher.create_activation()
    instance_id = enroller.register("a", activation)
    enroller.registrar.program.stop()

    refused = enroller.run("a", "deregister")
    assert refused.returncode == 1
    assert "cannot reach" in refused.stderr
    assert CredentialFiles(enroller.folder("a")).exists()
    assert enroller.run("a", "deregister", "--local").returncode == 0
    assert not CredentialFiles(enroller.folder("a")).exists()
    assert enroller.managed() == [instance_id]


ELSEWHERE = fingerprints.write({name: ["elsewhere"] for name in ("machine", "board", "cpu", "mac", "disk", "host")})


def test_state_folder_of_another_machine_is_refused(enroller: Enroller) -> None:
    """A copied disk does not start; it can be given an identity of its own, or be said to be the same host."""
    activation = enroller.dispatcher.create_activation()
    instance_id = enroller.register("a", activation)
    files = CredentialFiles(enroller.folder("a"))
    copied = msgspec.structs.replace(files.load(), fingerprint=ELSEWHERE)
    files.write_identity(copied)

    run = enroller.run("a", "start")
    assert run.returncode == 1
    assert "another machine" in run.stderr
    assert "--force" in run.stderr
    assert "--accept-machine" in run.stderr
    accepted = enroller.start("a", "--accept-machine")
    enroller.fleet.wait_online(instance_id)
    accepted.stop()
    again = enroller.start("a")
    enroller.fleet.wait_online(instance_id)
    again.stop()


def test_provisioned_host_has_a_redis_user_of_its_own(enroller: Enroller, tmp_path: Path) -> None:
    """For hosts that cannot reach the service: an operator carries a file there that only its owner can read."""
    out = tmp_path / "identity.json"
    cli(enroller, "instance", "provision", "web-1", "--name", "shop", "--out", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    enroller.folder("web-1").mkdir(mode=0o700, parents=True)
    out.rename(enroller.folder("web-1") / "provision.json")

    worker = enroller.start("web-1")
    enroller.fleet.wait_online("web-1")

    enroller.fleet.workers = {"web-1": worker}
    enroller.fleet.works("web-1")
    assert "://host-web-1:" in CredentialFiles(enroller.folder("web-1")).load().redis_url
    shown = json.loads(cli(enroller, "instance", "show", "web-1", "--json"))
    assert (shown["managed"], shown["activation_id"], shown["instance_name"]) == (True, "", "shop")


def test_command_line_leads_through_the_life_of_a_managed_host(enroller: Enroller) -> None:
    """Create, list, show, rename, deregister, disable and delete."""
    made = json.loads(cli(enroller, "activation", "create", "--name", "web", "--count", "1", "--json"))
    activation = NewActivation(**{**made, "expiration_time": made["expiration_time"]})
    instance_id = enroller.register("a", activation)
    assert "\tover\t1/1\t" in cli(enroller, "activation", "list")
    shown = json.loads(cli(enroller, "instance", "show", instance_id, "--json"))
    assert (shown["instance_name"], shown["activation_id"]) == ("web-001", activation.activation_id)
    cli(enroller, "instance", "modify", instance_id, "--name", "db-7")
    assert json.loads(cli(enroller, "instance", "show", instance_id, "--json"))["instance_name"] == "db-7"
    enroller.start("a")
    enroller.fleet.wait_online(instance_id)
    assert "\tdb-7\t" in cli(enroller, "instance", "list")
    cli(enroller, "activation", "disable", activation.activation_id)
    assert "ActivationId.InUse" in cli(enroller, "activation", "delete", activation.activation_id, exit_code=1)
    cli(enroller, "instance", "deregister", instance_id)
    cli(enroller, "activation", "delete", activation.activation_id)
    assert cli(enroller, "activation", "list") == ""


def cli(enroller: Enroller, *arguments: str, exit_code: int = 0) -> str:
    """Run `fleethand` and return what it printed; both streams if it is to fail."""
    environ: dict[str, Any] = {
        "FLEETHAND_REDIS_URL": enroller.fleet.logins.url(Role.DISPATCHER),
        "FLEETHAND_USERS_REDIS_URL": enroller.fleet.server.url,
        "FLEETHAND_KEYS_DIR": str(enroller.fleet.keyring.folder),
    }
    run = subprocess.run(
        [BIN / "fleethand", *arguments],
        env=clean_environment(**environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == exit_code, run.stderr
    return run.stdout + (run.stderr if exit_code else "")
