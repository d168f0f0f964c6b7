"""A small fleet for system tests: a real server, real aggregators, real workers, and the Python API as the caller.

A script proves that it ran by a line in the fleet's ledger; `Fleet.logged` is put before what a test wants to run.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import redis

from enrolled import enrol_worker, keyring_in, provision
from fleethand_common.messages import decode_order
from fleethand_dispatcher import Dispatcher, keys
from fleethand_dispatcher.envelope import order_parts
from fleethand_dispatcher.invocation import Invocation
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_dispatcher.models import InvocationResult
from fleethand_dispatcher.peers import Peers
from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from logins import Logins, aclfile
from processes import BIN, Program, Programs
from scripted_host import ScriptedHost
from servers import Server, running_server
from waiting import wait_until

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
STATES = "state"


class Fleet:
    """Everything of one test, on one server; each part logs in as its own user, the test itself as the server's."""

    def __init__(self, folder: Path, server: Server, programs: Programs, **settings: Any) -> None:
        self.folder = folder
        self.server = server
        self.programs = programs
        self.plane_settings = {"redeliver_after_s": 0.5, "lease_s": 5, "stop_grace_s": 1, **settings}
        self.keyring = keyring_in(folder / "keys")
        self.plane_settings["keys_dir"] = str(self.keyring.folder)
        self.logins = Logins(server)
        self.settings = Settings(redis_url=self.logins.url(Role.DISPATCHER), **self.plane_settings)
        self.dispatcher = Dispatcher(settings=self.settings)
        self.store = Store.at(server.url, self.keyring.vault)
        self.ledger = programs.folder / "ledger"
        self.workers: dict[str, Program] = {}
        self.aggregators: list[Program] = []
        programs.folder.mkdir(parents=True, exist_ok=True)
        self.ledger.touch()

    def close(self) -> None:
        """Close the connections; the programs are their owner's to end."""
        self.dispatcher.close()
        self.store.close()

    def aggregator(self) -> Program:
        """Start an aggregator with the fleet's settings."""
        self.aggregators.append(self.start(Role.AGGREGATOR, BIN / "fleethand", "aggregator"))
        return self.aggregators[-1]

    def environ(self, role: Role) -> dict[str, str]:
        """Return the fleet's settings for a part of the control plane."""
        settings = {**self.plane_settings, "redis_url": self.logins.url(role)}
        return {f"FLEETHAND_{name.upper()}": str(value) for name, value in settings.items()}

    def start(self, role: Role, *argv: str | Path) -> Program:
        """Start a part of the control plane with the fleet's settings."""
        return self.programs.start(*argv, name=role, environ=self.environ(role))

    def worker(self, instance_id: str = "host-1", *, prefix: tuple[str, ...] = (), **settings: Any) -> Program:
        """Start a worker, or the same one again.

        Args:
            prefix: a program that is to start it.
            settings: of the worker; `environ` holds other variables.
        """
        values = {
            "redis_url": self.logins.url(instance_id),
            "instance_id": instance_id,
            "state_dir": self.state_dir(instance_id),
            "heartbeat_interval_s": 1,
            "reconnect_jitter_s": 0.3,
            **settings,
        }
        enrol_worker(self.server.url, self.keyring, instance_id, Path(values["state_dir"]))
        environ = {str(k): str(v) for k, v in values.pop("environ", {}).items()}
        environ |= {f"FLEETHAND_{name.upper()}": str(value) for name, value in values.items()}
        argv = (*prefix, BIN / "fleethand-worker", "start")
        self.workers[instance_id] = self.programs.start(*argv, name=f"worker-{instance_id}", environ=environ)
        return self.workers[instance_id]

    def scripted_host(self, client: "redis.Redis[Any]", instance_id: str) -> ScriptedHost:
        """Enrol a host that the test plays itself."""
        return ScriptedHost(client, provision(self.server.url, self.keyring, instance_id))

    def beat(self, name: str = "beat", *, environ: Mapping[str, str] | None = None) -> Program:
        """Start a beat with Celery's own command.

        Args:
            environ: other variables.
        """
        argv = (sys.executable, "-P", "-m", "celery", "-A", "fleethand_dispatcher.celery_app", "beat", "-l", "INFO")
        return self.programs.start(*argv, name=name, environ={**self.environ(Role.BEAT), **(environ or {})})

    def started(self, *instance_ids: str, **settings: Any) -> "Fleet":
        """Start an aggregator and these workers, and wait until the control plane has heard of them."""
        self.aggregator()
        for instance_id in instance_ids:
            self.worker(instance_id, **settings)
        self.wait_online(*instance_ids)
        return self

    def wait_online(self, *instance_ids: str) -> None:
        """Wait until the control plane has heard from these hosts since now."""
        with self.server.client() as client:  # the fleet's own connection may be one that a test has cut
            seconds, micros = client.time()
            since_ms = seconds * 1000 + micros // 1000

            def seen() -> bool:
                return all((at or 0) >= since_ms for at in client.zmscore(keys.SEEN, list(instance_ids)))

            try:
                wait_until(seen, 30, f"a heartbeat of {instance_ids}")
            except AssertionError as error:
                for name in set(instance_ids) & set(self.workers):
                    worker = self.workers[name]
                    error.add_note(f"{name}, exit code {worker.process.poll()}: {worker.output()[-1500:]}")
                raise

    def forget_heartbeat(self, instance_id: str, ago_s: float = 300) -> None:
        """Have the records say that a host was last heard of long ago."""
        with self.server.client() as client:
            client.zadd(keys.SEEN, {instance_id: self.store.now_ms() - int(ago_s * 1000)})

    def state_dir(self, instance_id: str) -> Path:
        """Return the folder of a worker's journal."""
        return self.programs.folder / STATES / instance_id

    def entry(self, invocation: Invocation | str, instance_id: str = "host-1") -> Path:
        """Return the journal's folder of one execution."""
        invoke_id = invocation if isinstance(invocation, str) else invocation.invoke_id
        return self.state_dir(instance_id) / "executions" / invoke_id

    def logged(self, script: str = "") -> str:
        """Return a script that notes its start in the ledger, then goes on with *script*."""
        return f'echo "$FLEETHAND_INVOCATION_ID $FLEETHAND_INSTANCE_ID" >> {self.ledger}\n{script}'

    def starts(self) -> Counter[tuple[str, str]]:
        """Return how often each (invocation, instance) was started, by the scripts' own word."""
        lines = (line.split() for line in self.ledger.read_text().splitlines())
        return Counter((invoke_id, instance_id) for invoke_id, instance_id in lines)

    def starts_of(self, invocation: Invocation) -> int:
        """Return how often an invocation was started on all its instances together."""
        return sum(count for (invoke_id, _), count in self.starts().items() if invoke_id == invocation.invoke_id)

    def run(self, script: str, *instance_ids: str, **arguments: Any) -> Invocation:
        """Run a logged script on instances, on host-1 if none is named."""
        return self.dispatcher.run_command(
            command_content=self.logged(script), instance_ids=list(instance_ids or ("host-1",)), **arguments
        )

    def result(self, invocation: Invocation, instance_id: str = "host-1") -> InvocationResult:
        """Return one result as it stands."""
        (found,) = [r for r in invocation.results() if r.instance_id == instance_id]
        return found

    def outcome(self, invocation: Invocation, timeout_s: float = 30) -> InvocationResult:
        """Wait for the end of an invocation on one instance and return its result."""
        invocation.wait(timeout_s)
        (found,) = invocation.results()
        return found

    def wait_started(self, invocation: Invocation, timeout_s: float = 20) -> None:
        """Wait until the script itself says that it runs."""
        wait_until(lambda: self.starts_of(invocation), timeout_s, f"the start of {invocation.invoke_id}")

    def supervisor(self, invocation: Invocation | str, instance_id: str = "host-1") -> int:
        """Return the process id of an execution's supervisor."""
        text = (self.entry(invocation, instance_id) / "state.json").read_text()
        return int(json.loads(text)["pid"])

    def deliver(self, invocation: Invocation, instance_id: str, times: int = 1, *, queue_of: str = "") -> None:
        """Put an invocation's order into a host's queue, as redelivery does, however full that is.

        Args:
            queue_of: another host, if the order is to go astray.
        """
        message = self.message(invocation, instance_id)
        with self.server.client() as client:
            for _ in range(times):
                client.lpush(f"fleethand:host:{queue_of or instance_id}:orders", message)

    def message(self, invocation: Invocation, instance_id: str) -> str:
        """Return a message that carries an invocation's order to a host, genuine and signed as of now."""
        body = self.store.invocations.orders([invocation.invoke_id])[0]
        assert body is not None
        writer = LetterWriter(self.keyring, Peers(self.store.hosts))
        written = writer.execute(decode_order(body), [instance_id])
        parts = order_parts(written.letter, invoke_id=invocation.invoke_id, command_name="", attempt=2)
        return parts.whole(instance_id, written.tokens[instance_id])

    def processes_of(self, invocation: Invocation | str) -> list[psutil.Process]:
        """Return the living processes that a script's own variables mark."""
        invoke_id = invocation if isinstance(invocation, str) else invocation.invoke_id
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get("FLEETHAND_INVOCATION_ID") == invoke_id and process.status() != "zombie":
                    found.append(process)
        return found

    def wait_gone(self, invocation: Invocation | str) -> None:
        """Wait until nothing of an invocation's script lives."""
        wait_until(lambda: not self.processes_of(invocation), 10, "the end of the script's processes")

    def works(self, *instance_ids: str, within_s: float = 30) -> None:
        """Prove that hosts still take and run commands: the last line of every fault test."""
        names = instance_ids or tuple(self.workers)
        invocation = self.run("echo fine", *names)
        record = invocation.wait(within_s)
        outputs = {r.instance_id: (r.invocation_status, r.output) for r in invocation.results()}
        assert outputs == dict.fromkeys(names, ("Success", "fine\n")), record


@contextmanager
def running_fleet(
    folder: Path, *, arguments: tuple[str, ...] = DURABLE, environ: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[Fleet]:
    """Run a server and a fleet without anything in it yet; all of it is gone afterwards.

    Args:
        environ: more of the server's environment.

    Raises:
        AssertionError: the server refused a part something.
    """
    programs = Programs(folder / "programs")
    arguments = (*arguments, *aclfile(folder / "valkey"))
    with running_server(folder / "valkey", arguments=arguments, **(environ or {})) as server:
        fleet = Fleet(folder, server, programs, **settings)
        try:
            yield fleet
            assert not (denied := fleet.logins.denied()), f"extend redis_roles.py by what is needed: {denied}"
        finally:
            fleet.close()
            programs.kill_all()


FleetFactory = Callable[..., Fleet]


def seeded() -> random.Random:
    """Return a source of chance whose seed is printed, and taken from FLEETHAND_TEST_SEED to see the same again."""
    seed = int(os.environ.get("FLEETHAND_TEST_SEED") or random.randrange(10**6))
    print(f"FLEETHAND_TEST_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    return random.Random(seed)


def spend(seconds: float) -> None:
    """Let time pass where time itself is what is tested; everything else waits for a condition."""
    time.sleep(seconds)
