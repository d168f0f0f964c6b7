"""Every part works under a Redis user of its own, is refused nothing on the way, and may do nothing else."""

import json
import re
import subprocess
import tomllib
import urllib.request
from pathlib import Path

import pytest
import redis

from fleet import Fleet, FleetFactory
from fleethand_common.celery_config import REPORTS_QUEUE
from fleethand_common.states import InvocationStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.redis_rules import host_rules
from fleethand_dispatcher.redis_users import RedisUsers
from processes import BIN, Program, clean_environment
from servers import free_port
from waiting import wait_until


def fleethand(fleet: Fleet, *arguments: str, url: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the command line as the dispatcher's user, or by another URL."""
    environ = fleet.environ(Role.DISPATCHER) | ({"FLEETHAND_REDIS_URL": url} if url else {})
    return subprocess.run(
        [BIN / "fleethand", *arguments],
        env=clean_environment(**environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def beat(fleet: Fleet) -> Program:
    """Start a beat."""
    words = ("-A", "fleethand_dispatcher.celery_app", "beat", "--loglevel=INFO")
    return fleet.start(Role.BEAT, BIN / "celery", *words)


def test_host_does_all_it_must_under_its_own_user(fleet: Fleet) -> None:
    """It runs, streams, stops, restarts, survives a restart of the server and of the control plane."""
    aggregator = fleet.aggregator()
    worker = fleet.worker("web-1")
    fleet.wait_online("web-1")
    streamed = fleet.run("echo one; sleep 1; echo two", "web-1")
    kinds = {event.kind for event in streamed.follow(timeout_s=30)}
    assert "output" in kinds
    assert streamed.wait(30).invocation_status is InvocationStatus.SUCCESS
    stopped = fleet.run("sleep 600", "web-1")
    fleet.wait_started(stopped)
    stopped.stop()
    assert stopped.wait(30).invocation_status is InvocationStatus.STOPPED

    assert worker.stop() == 0
    fleet.worker("web-1")
    fleet.works("web-1")
    aggregator.stop()
    fleet.aggregator()
    fleet.server.stop()
    fleet.server.start()
    fleet.wait_online("web-1")
    fleet.works("web-1")
    assert fleet.logins.denied() == []


def test_order_that_comes_while_a_host_stops_is_neither_lost_nor_refused(fleet: Fleet) -> None:
    """It wakes its own poll, puts back what the poll got instead, and leaves nothing of its own behind."""
    fleet.aggregator()
    for _ in range(3):
        worker = fleet.worker("web-1")
        fleet.wait_online("web-1")
        worker.process.terminate()
        invocation = fleet.run("echo fine", "web-1", deliver_within_s=120)
        assert worker.wait() == 0
        left = fleet.store.client.lrange("fleethand:host:web-1:control", 0, -1)
        assert left == []
        fleet.worker("web-1")
        assert invocation.wait(40).invocation_status is InvocationStatus.SUCCESS
        fleet.workers["web-1"].stop()


def test_control_plane_does_all_it_must_under_its_own_users(make_fleet: FleetFactory) -> None:
    """Reports, deadlines, a dead aggregator's leftovers, garbage, retention, the lease of a second beat."""
    fleet = make_fleet(retention_results=1)
    first = fleet.aggregator()
    for name in ("web-1", "web-2"):
        fleet.worker(name)
    fleet.wait_online("web-1", "web-2")
    for _ in range(2):
        fleet.works("web-1", "web-2")
    lost = fleet.run("sleep 600", "web-1", "web-2")
    wait_until(lambda: lost.status is InvocationStatus.RUNNING, 20, "the command running")
    lost.stop()
    assert lost.wait(30).invocation_status is InvocationStatus.STOPPED
    fleet.store.client.lpush(REPORTS_QUEUE, "garbage")
    wait_until(fleet.dispatcher.dead_reports, 20, "the garbage set aside")
    fleet.workers["web-2"].kill()
    fleet.forget_heartbeat("web-2")
    late = fleet.run("true", "web-2", deliver_within_s=1)
    assert late.wait(30).invocation_status is InvocationStatus.FAILED

    first.kill()
    fleet.store.client.hset(keys.AGGREGATORS, "dead", 1)
    fleet.store.client.lpush(f"{keys.TAKEN_PREFIX}dead", "garbage")
    second = fleet.aggregator()
    wait_until(lambda: not fleet.store.client.exists(f"{keys.TAKEN_PREFIX}dead"), 20, "the dead aggregator's reports")
    working, spare = beat(fleet), beat(fleet)
    wait_until(
        lambda: fleet.store.client.zcard(keys.INVOCATIONS) == 1, 20, "what is over the bounds of retention to go"
    )
    working.stop()
    spare.wait_for_output("epoch")
    assert [0, 0] == [spare.stop(), second.stop()]


def test_command_line_does_all_it_must_under_the_dispatchers_user(fleet: Fleet, tmp_path: Path) -> None:
    """Every verb; nothing of it needs more than the records and putting messages into queues."""
    fleet.aggregator()
    beat(fleet)
    fleet.worker("web-1")
    fleet.wait_online("web-1")

    def cli(*arguments: str) -> str:
        done = fleethand(fleet, *arguments)
        assert "cannot use Redis" not in done.stderr, (arguments, done.stderr)
        assert done.returncode != 2, (arguments, done.stderr)
        return done.stdout

    cli("run", "--all", "--client-token", "once", "--", "echo hello")
    kept = cli("command", "create", "--name", "greet", "--enable-parameter", "--", "echo {{word}}").strip()
    for arguments in (
        ("list",),
        ("show", kept),
        ("modify", kept, "--timeout", "5"),
        ("clone", kept, "--name", "again"),
    ):
        cli("command", *arguments)
    cli("invoke", kept, "--all", "--parameter", "word=hi")
    cli("command", "delete", kept)
    running = cli("run", "--all", "--detach", "--", "sleep 600").strip()
    cli("invocation", "stop", running)
    wait_until(lambda: "Stopped" in cli("invocation", "show", running), 30, "the stop")
    cli("invocation", "retry", running, "--detach")
    for arguments in (
        *(("invocation", "list"), ("invocation", "follow", "last"), ("results", "last"), ("explain", "last", "web-1")),
        *(("targets", "--all"), ("instance", "list"), ("instance", "show", "web-1"), ("report", "dead", "--drop")),
        ("render", "--instance", "web-1", "--parameter", "word=hi", "--", "echo {{word}}"),
    ):
        cli(*arguments)
    for arguments in (
        *(("principal", "create", "ops", "--policy", "FleethandFullAccess"), ("principal", "list")),
        *(("policy", "list"), ("policy", "detach", "--principal", "ops", "FleethandFullAccess")),
        *(("principal", "rotate", "ops"), ("principal", "delete", "ops"), ("invocation", "verify", "last")),
        *(("freeze", "--reason", "a test"), ("freeze", "--status"), ("unfreeze",), ("keys", "list")),
        *(("keys", "rotate", "--name", "next"), ("activation", "create", "--name", "web"), ("activation", "list")),
        *(("instance", "modify", "web-1", "--name", "first"), ("audit", "list"), ("audit", "verify")),
    ):
        cli(*arguments)
    verdicts = {check["check"]: check["verdict"] for check in json.loads(cli("doctor", "--json"))["checks"]}
    assert verdicts["login"] == "ok"


def test_registrar_does_all_it_must_under_its_own_user(fleet: Fleet, tmp_path: Path) -> None:
    """A host enrols itself, works as the user that it was given, and ends its enrolment, which ends the user."""
    fleet.aggregator()
    port, state_dir = free_port(), tmp_path / "host"
    url = f"https://localhost:{port}"
    fleet.plane_settings |= {"registrar_url": url, "registrar_port": port, "registrar_address": "127.0.0.1"}
    registrar = fleet.start(Role.REGISTRAR, BIN / "fleethand", "registrar")
    pin = re.search(r"pin=(sha256:\w+)", registrar.wait_for_output("event=listening"))
    assert pin
    made = json.loads(fleethand(fleet, "activation", "create", "--name", "web", "--json").stdout)

    def worker(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        argv = [BIN / "fleethand-worker", arguments[0], "--state-dir", state_dir, *arguments[1:]]
        env = clean_environment(**environ)
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)

    wrong = worker(
        *("register", "--url", url, "--pin", pin[1], "--activation-id", made["activation_id"]),
        FLEETHAND_ACTIVATION_CODE="a-wrong",
    )
    assert wrong.returncode != 0
    right = worker(
        *("register", "--url", url, "--pin", pin[1], "--activation-id", made["activation_id"]),
        FLEETHAND_ACTIVATION_CODE=made["activation_code"],
    )
    assert right.returncode == 0, right.stderr
    environ = {"FLEETHAND_STATE_DIR": str(state_dir), "FLEETHAND_RECONNECT_JITTER_S": "0.2"}
    started = fleet.programs.start(BIN / "fleethand-worker", "start", environ=environ)
    started.wait_for_output("event=ready")
    found = wait_until(lambda: fleet.dispatcher.describe_instances().items, 20, "the host")
    running = fleet.run("sleep 600", found[0].instance_id)
    fleet.wait_started(running)
    assert started.stop() == 0
    gone = worker("deregister")
    assert gone.returncode == 0, gone.stderr
    assert running.wait(20).invocation_status is InvocationStatus.FAILED
    with redis.Redis.from_url(fleet.server.url) as client:
        assert not [name for name in RedisUsers(client).all() if name.startswith("host-")]


def test_command_line_makes_users_that_work_and_are_kept(fleet: Fleet) -> None:
    """It prints the URL once; who may not make users is told so."""
    server = fleet.server
    fleet.logins.url(Role.DISPATCHER)
    url = fleethand(fleet, "user", "create", "aggregator", url=server.url).stdout.strip()
    host = json.loads(fleethand(fleet, "user", "create", "--host", "web-1", "--json", url=server.url).stdout)
    server.stop()
    server.start()
    for made in (url, host["url"]):
        with redis.Redis.from_url(made) as client:
            assert client.ping()
    assert host["kept"]
    names = ["fleethand-aggregator", "fleethand-dispatcher", "host-web-1"]
    assert names == fleethand(fleet, "user", "list", url=server.url).stdout.split()
    fleethand(fleet, "user", "delete", host["user"], url=server.url)
    with redis.Redis.from_url(host["url"]) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    fleet.logins.forget_denied()
    assert "\n".join(host_rules("web-2")) == fleethand(fleet, "user", "rules", "--host", "web-2").stdout.strip()
    assert fleethand(fleet, "user", "create").returncode == 2
    assert fleethand(fleet, "user", "create", "beat", "--host", "web-1").returncode == 2


def test_login_of_a_part_is_kept_in_a_file_and_made_once(fleet: Fleet, tmp_path: Path) -> None:
    """The same call at each start: whoever is logged in goes on, rights that were lost are back, a wrong file ends."""
    server, file = fleet.server, tmp_path / "beat.toml"
    create = ("user", "create", "beat", "--into", str(file))

    def made() -> bool:
        done = fleethand(fleet, *create, "--json", url=server.url)
        assert done.returncode == 0, done.stderr
        return bool(json.loads(done.stdout)["made"])

    first = made()
    text = file.read_text()
    url = tomllib.loads(text)["redis_url"]
    with server.client() as client, redis.Redis.from_url(url) as part:
        assert part.ping()
        client.execute_command("ACL", "SETUSER", "fleethand-beat", "-ping", "+flushall", "~other:*")
        assert (first, made(), file.read_text()) == (True, False, text)
        assert part.ping(), "the connection goes on"
        with pytest.raises(redis.exceptions.NoPermissionError):
            part.flushall()
        client.execute_command("ACL", "DELUSER", "fleethand-beat")
    assert (made(), made(), file.read_text() == text) == (True, False, False)
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text('redis_url = "redis://x"\nkeys_dir = "/k"\n')
    refused = fleethand(fleet, *create, url=server.url)
    assert (refused.returncode, "it has keys_dir, redis_url" in refused.stderr) == (1, True)
    assert fleethand(fleet, "user", "create", "--host", "web-1", "--into", str(file)).returncode == 2
    fleet.logins.forget_denied()


def test_who_may_not_make_users_is_told_so(fleet: Fleet) -> None:
    """The dispatcher's user is no operator of the server."""
    done = fleethand(fleet, "user", "create", "aggregator")

    assert done.returncode == 1
    assert "cannot use Redis, it refuses" in done.stderr
    assert "acl|setuser" in done.stderr
    assert fleet.logins.denied() == ["fleethand-dispatcher may not use the command 'acl|setuser' (toplevel)"]
    fleet.logins.forget_denied()


def test_dashboard_does_all_it_must_and_writes_nothing(fleet: Fleet) -> None:
    """It sees hosts and executions, before and after the server restarts, and believes no host about another one."""
    fleet.aggregator()
    port = free_port()
    program = fleet.start(Role.DASHBOARD, BIN / "fleethand", "dashboard", "--port", str(port))
    program.wait_for_output("Connected to")

    def page(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    for name in ("web-1", "web-2"):
        fleet.worker(name)
    fleet.wait_online("web-1", "web-2")
    fleet.works("web-1", "web-2")
    wait_until(lambda: "web-1@fleethand" in page("/workers?json=1"), 20, "the host")
    assert page("/broker")
    assert not [key for key in fleet.store.client.scan_iter() if b"_kombu" in key or b"celeryev" in key]
    fleet.server.stop()
    program.wait_for_output("cannot receive events")
    fleet.server.start()
    wait_until(lambda: program.output().count("Connected to") == 2, 20, "the new connection")
    program.stop()
