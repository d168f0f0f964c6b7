"""compose.yaml as plain processes: every service's own command, with its own environment, against a real server.

No container engine is needed; what only an engine does (networks, volumes, health checks) is read and checked.
"""

import base64
import contextlib
import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from processes import Program, Programs, clean_environment
from servers import VALKEY_SERVER, free_port
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
ENVIRON = {
    "FLEETHAND_REDIS_PASSWORD": "secret1",
    "FLEETHAND_DASHBOARD_USER": "ops",
    "FLEETHAND_DASHBOARD_PASSWORD": "secret2",
}
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


def filled(value: Any, environ: Mapping[str, str]) -> Any:
    """Fill variables as compose does: `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$`."""
    if isinstance(value, dict):
        return {name: filled(item, environ) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, environ) for item in value]
    return VARIABLE.sub(lambda match: variable(match, environ), value) if isinstance(value, str) else value


def variable(match: re.Match[str], environ: Mapping[str, str]) -> str:
    """Return what stands for one variable."""
    if match[0] == "$$":
        return "$"
    if environ.get(match[1]):
        return environ[match[1]]
    if match[2] == ":-":
        return match[3]
    raise AssertionError(f"{match[1]} must be set: {match[3]}")


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    """compose.yaml as it is written."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return document


@pytest.fixture(scope="module")
def services(raw: dict[str, Any]) -> dict[str, Any]:
    """The services, with variables filled."""
    found: dict[str, Any] = filled(raw["services"], ENVIRON)
    return found


class Stack:
    """The services as processes on ports of their own."""

    def __init__(self, services: dict[str, Any], programs: Programs, folder: Path) -> None:
        self.services, self.programs, self.folder = services, programs, folder
        self.redis_port, self.dashboard_port, self.registrar_port = free_port(), free_port(), free_port()
        self.url = f"redis://:{ENVIRON['FLEETHAND_REDIS_PASSWORD']}@127.0.0.1:{self.redis_port}/0"
        """By which only the tests look: no part of the stack but `users` has it."""

    def start(self, name: str, *words: str) -> Program:
        """Run a service's command; only addresses, ports and folders are put in place of the container's.

        Args:
            words: instead of the command, behind the entrypoint, as with `docker compose run`.
        """
        service = self.services[name]
        environ = {key: self._placed(str(value), name) for key, value in service.get("environment", {}).items()}
        parts = [*service.get("entrypoint", ()), *(words or service["command"])]
        argv = [self._placed(part, name) for part in parts]
        if name == "valkey":
            argv += ["--port", str(self.redis_port), "--dir", str(self.folder)]
        if name == "registrar":
            environ["FLEETHAND_REGISTRAR_PORT"] = str(self.registrar_port)
        program = shutil.which(argv[0], path=clean_environment()["PATH"])
        assert program, f"{name}: there is no program {argv[0]}"
        return self.programs.start(program, *argv[1:], name=name, environ=environ)

    def _placed(self, text: str, name: str) -> str:
        logins = [volume.split(":") for volume in self.services[name].get("volumes", ()) if volume.startswith("login-")]
        for volume, path in logins:
            (self.folder / volume).mkdir(exist_ok=True)
            if path == "/etc/fleethand/login":
                text = text.replace(path + "/", f"{self.folder}/{volume}/")
        places = {
            "/etc/fleethand/logins/": f"{self.folder}/login-",
            "valkey:6379": f"127.0.0.1:{self.redis_port}",
            "registrar:8443": f"127.0.0.1:{self.registrar_port}",
            "127.0.0.1:8443": f"127.0.0.1:{self.registrar_port}",
            "5555": str(self.dashboard_port),
            "exec valkey-server": f"exec {VALKEY_SERVER}",
            "/data/": f"{self.folder}/data-",
            "/etc/fleethand/keys": str(self.folder / "keys"),
            "/run/fleethand-sample": str(self.folder),
            "/var/lib/fleethand": str(self.folder / "state"),
            "0.0.0.0": "127.0.0.1",
        }
        for container, here in places.items():
            text = text.replace(container, here)
        return text

    def run(self, name: str) -> None:
        """Run a service that ends by itself."""
        program = self.start(name)
        assert program.wait(60) == 0, program.output()

    def is_healthy(self, name: str) -> bool:
        """Run a service's health check."""
        words = [self._placed(word, name) for word in self.services[name]["healthcheck"]["test"][1:]]
        program = self.programs.start(shutil.which(words[0]) or words[0], *words[1:], name=f"{name}-health")
        return program.wait(20) == 0

    def refusals(self) -> list[tuple[str, str]]:
        """Return whom the server refused what since it was started; its log does not outlive it."""
        with self.client() as client:
            return [
                (entry["username"], entry["object"]) for entry in client.acl_log() if entry["username"] != "default"
            ]

    def stop_server(self) -> None:
        """Stop the server, which until then refused nobody anything."""
        assert self.refusals() == []
        with self.client() as client:
            client.shutdown(nosave=True)

    def client(self) -> "redis.Redis[str]":
        """Return a client of the stack's server."""
        return redis.Redis.from_url(self.url, decode_responses=True)


@pytest.fixture
def stack(services: dict[str, Any], programs: Programs, tmp_path: Path) -> Iterator[Stack]:
    """A stack whose server runs and has its users; in the end, none of them was refused anything."""
    folder = tmp_path / "stack"
    folder.mkdir()
    stack = Stack(services, programs, folder)
    server = stack.start("valkey")
    server.wait_for_output("Ready to accept connections")
    for once in ("keys", "users"):
        stack.run(once)
    yield stack
    with contextlib.suppress(redis.AuthenticationError):  # one test gives the server another password
        assert stack.refusals() == []


def test_server_keeps_what_it_was_told_and_asks_for_the_password(stack: Stack) -> None:
    """The records survive a restart of the server, and nothing is ever evicted."""
    with stack.client() as client:
        settings = client.config_get("appendonly", "maxmemory-policy")

    assert settings == {"appendonly": "yes", "maxmemory-policy": "noeviction"}
    with (
        redis.Redis(port=stack.redis_port) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_users_of_hosts_survive_a_restart_of_the_server(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a changed password of the control plane counts."""
    with stack.client() as client:
        client.execute_command("ACL", "SETUSER", "host-1", "on", ">its-own", "+ping")
        client.execute_command("ACL", "SAVE")
        client.shutdown(nosave=True)
    monkeypatch.setitem(stack.services["valkey"]["environment"], "REDISCLI_AUTH", "another")

    stack.start("valkey").wait_for_output("Ready to accept connections")

    with redis.Redis(port=stack.redis_port, password="another") as client:
        assert {"default", "host-1", "fleethand-beat"} < set(client.acl_users())
    with redis.Redis(port=stack.redis_port, username="host-1", password="its-own") as client:
        assert client.ping()


def test_command_runs_on_the_sample_worker(stack: Stack) -> None:
    """Started as compose does, each part as its own Redis user: a worker enrols itself and runs what it is told to.

    At a second `up`, parts that run stay logged in, and so does the host when the server was started again.
    """
    stack.start("registrar")
    wait_until(lambda: stack.is_healthy("registrar"), 40, "the health of the registration service")
    stack.run("activation")
    aggregator, worker = stack.start("aggregator"), stack.start("worker")
    run = ("run", "--all", "--json", "--", "echo", "hi from compose")

    def online() -> bool:
        assert aggregator.is_running, aggregator.output()
        assert worker.is_running, worker.output()
        return bool(json_of(stack, "instance", "list", "--json"))

    wait_until(online, 40, "the sample worker")
    assert "hi from compose" in output_of(stack, *run)
    beat = stack.start("beat")
    made = output_of(stack, "run", "--all", "--cron", "0/10 * * * * ? * UTC", "--timeout", "5s", "--", "date")
    schedule_id = made.split()[0]
    wait_until(
        lambda: json_of(stack, "schedule", "show", schedule_id, "--json")["runs"] > 0, 40, "a run of the schedule"
    )
    doctor = {check["check"]: check["verdict"] for check in json_of(stack, "doctor", "--json")["checks"]}
    assert doctor["login"] == "ok"
    stack.run("users")
    stack.stop_server()
    stack.start("valkey").wait_for_output("Ready to accept connections")
    assert "hi from compose" in output_of(stack, *run)
    assert beat.is_running, beat.output()


def test_beat_runs_and_is_seen(stack: Stack) -> None:
    """The beat takes the lease that shows that it works."""
    beat = stack.start("beat")

    with stack.client() as client:
        wait_until(lambda: client.exists("fleethand:beat") or not beat.is_running, 40, "the beat's lease")
    assert beat.is_running, beat.output()


def test_dashboard_answers_only_who_knows_the_password(stack: Stack) -> None:
    """The dashboard asks for the user and the password of the environment."""
    dashboard = stack.start("dashboard")
    url = f"http://127.0.0.1:{stack.dashboard_port}/"

    def answer(login: str | None) -> int:
        assert dashboard.is_running, dashboard.output()
        headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as response:
                status: int = response.status
                return status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    wait_until(lambda: answer("ops:secret2"), 40, "the dashboard's answer")
    assert [answer("ops:secret2"), answer("ops:wrong"), answer(None)] == [200, 401, 401]


def test_every_service_is_proven_here(services: dict[str, Any]) -> None:
    """A new service needs a test above."""
    proven = {"valkey", "keys", "users", "aggregator", "beat", "cli", "registrar", "dashboard", "activation", "worker"}
    assert proven == set(services)


def test_only_who_starts_commands_has_the_signing_keys(services: dict[str, Any]) -> None:
    """Neither the aggregator nor the registration service has them; hosts and the dashboard have no keys at all."""
    mounted = {
        name: [volume.split(":")[0] for volume in service.get("volumes", ())] for name, service in services.items()
    }

    assert {name for name, volumes in mounted.items() if "signing" in volumes} == {"keys", "beat", "cli"}
    assert {name for name, volumes in mounted.items() if "keys" in volumes} == set(services) - {
        "valkey",
        "worker",
        "users",
        "dashboard",
    }


def test_each_part_has_the_login_of_its_own_role_and_no_other(services: dict[str, Any]) -> None:
    """The server's own password is where users are made, and in no part that runs."""
    logins = {
        name: sorted(volume.split(":")[0] for volume in service.get("volumes", ()) if volume.startswith("login-"))
        for name, service in services.items()
        if name != "users"
    }

    roles = {"aggregator": "aggregator", "beat": "beat", "dashboard": "dashboard", "registrar": "registrar"}
    roles |= {"cli": "dispatcher", "activation": "dispatcher"}
    assert logins == {name: [f"login-{roles[name]}"] if name in roles else [] for name in services if name != "users"}
    knowing = {name for name, service in services.items() if ENVIRON["FLEETHAND_REDIS_PASSWORD"] in str(service)}
    assert knowing == {"valkey", "users"}


def test_nothing_starts_when_a_secret_is_missing(raw: dict[str, Any]) -> None:
    """There is no default password."""
    for name in ENVIRON:
        with pytest.raises(AssertionError, match=name):
            filled(raw["services"], {key: value for key, value in ENVIRON.items() if key != name})


def test_what_an_engine_does_is_written_down(services: dict[str, Any], raw: dict[str, Any]) -> None:
    """Pinned image, health check, a volume for the data, restarts; ports only towards this machine by default."""
    valkey = services["valkey"]

    assert re.fullmatch(r"valkey/valkey:\d+\.\d+\.\d+", valkey["image"])
    assert "ping" in str(valkey["healthcheck"]["test"])
    assert any(volume.split(":")[0] in raw["volumes"] for volume in valkey["volumes"])
    once = {"keys", "users", "activation", "cli"}
    assert all(service["restart"] == ("no" if name in once else "unless-stopped") for name, service in services.items())
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", ()))


def test_image_is_built_from_what_is_here() -> None:
    """What the Dockerfile copies exists and is not kept out by .dockerignore."""
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    names = {name for line in copied for name in line.split()}

    assert all((ROOT / name).exists() for name in names)
    assert names == kept


def output_of(stack: Stack, *arguments: str) -> str:
    """Return what `fleethand` prints about this stack."""
    program = stack.start("cli", *arguments)
    assert program.wait(60) == 0, program.output()
    return program.output()


def json_of(stack: Stack, *arguments: str) -> Any:
    """Return what `fleethand … --json` prints about this stack."""
    return json.loads(output_of(stack, *arguments))
