"""Random harm to a fleet under load, and the load: scripts that end in every way, asked for by a patient caller."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import redis

from fleet import Fleet
from fleethand_common.errors import RequestError, ServerUnavailableError
from fleethand_dispatcher.invocation import Invocation
from fleethand_dispatcher.settings import Settings
from waiting import wait_until

ENDINGS = (
    ("", "Success", 30),
    ("echo words; sleep 0.2", "Success", 20),
    ("exit 3", "Failed", 20),
    ("sleep 0.1; kill -9 $$", "Failed", 5),
    ("sleep 0.5 & sleep 0.3", "Success", 10),
    ("seq 1 8000", "Success", 5),
    ("sleep 60", "Timeout", 5),
    ("sleep 60 # stop", "Terminated", 5),
)
"""Script, how it ends if nobody harms it, and how many of a hundred are so."""
RETRY_S = 0.1
AT_FIRST = 5
"""How much other harm there is before the broker is restarted."""


class Asked(NamedTuple):
    """One invocation of the load, and how its script ends if nobody harms it."""

    invocation: Invocation
    script: str
    ending: str
    instance_ids: tuple[str, ...]


def patiently(call: Callable[[], Invocation]) -> Invocation:
    """Return what a call to the API answers, however often the server is away meanwhile."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return call()
        except (ServerUnavailableError, RequestError) as error:
            away = isinstance(error, ServerUnavailableError) or error.code == "IdempotentProcessing"
            if not away or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)


class Load:
    """Asks for commands, each once by its client token, and never for more at a time than the fleet can hold."""

    def __init__(self, fleet: Fleet, hosts: list[str], chance: random.Random, *, at_once: int) -> None:
        self._fleet = fleet
        self._hosts = hosts
        self._chance = chance
        self._at_once = at_once
        self.asked: list[Asked] = []
        self.error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, count: int) -> None:
        """Begin to ask, in a thread."""
        self._thread = threading.Thread(target=self._go_on, args=(count,), daemon=True)
        self._thread.start()

    def is_over(self) -> bool:
        """Tell whether all was asked.

        Raises:
            whatever ended it too early.
        """
        assert self._thread is not None
        if self.error is not None:
            raise self.error
        return not self._thread.is_alive()

    def _go_on(self, count: int) -> None:
        try:
            self.run(count)
        except BaseException as error:  # noqa: BLE001 - raised where the test looks
            self.error = error

    def run(self, count: int) -> None:
        """Ask for *count* invocations, of one host mostly, of three sometimes."""
        scripts, endings, weights = zip(*ENDINGS, strict=True)
        for number in range(count):
            which = self._chance.choices(range(len(scripts)), weights)[0]
            targets = tuple(self._chance.sample(self._hosts, 3 if self._chance.random() < 0.1 else 1))
            invocation = self._ask(number, scripts[which], targets)
            self.asked.append(Asked(invocation, scripts[which], endings[which], targets))
            if "stop" in scripts[which]:
                threading.Timer(self._chance.uniform(0, 1), self._stop, [invocation]).start()
            self._wait_for_room()

    def _ask(self, number: int, script: str, targets: tuple[str, ...]) -> Invocation:
        timeout_s = 1 if script == "sleep 60" else 20
        return patiently(lambda: self._fleet.run(script, *targets, timeout_s=timeout_s, client_token=f"chaos-{number}"))

    def _stop(self, invocation: Invocation) -> None:
        patiently(lambda: invocation.stop() and invocation)

    def _wait_for_room(self) -> None:
        wait_until(lambda: self.unfinished() < self._at_once, 60, "room for one more")

    def unfinished(self) -> int:
        """Return how many invocations have not ended; a great number while the server is away."""
        with suppress(redis.RedisError):
            return len(self._fleet.store.invocations.unfinished())
        return 10**6


class Harm:
    """Kills one thing after the other, and starts it again a moment later, until told to end."""

    def __init__(self, fleet: Fleet, hosts: list[str], chance: random.Random, *, restarts: int) -> None:
        self._fleet = fleet
        self._hosts = hosts
        self._chance = chance
        self._restarts = restarts
        self.done: Counter[str] = Counter()
        self.killed_supervisors: set[tuple[str, str]] = set()

    def go_on_until(self, is_over: Callable[[], bool]) -> None:
        """Do harm until *is_over*, then leave everything running.

        Programs that a test starts die with the thread that started them, so this is for the test's own.
        """
        acts = (
            self._kill_worker,
            self._kill_supervisor,
            self._kill_both,
            self._kill_aggregator,
            self._cut,
        )
        weights = (6, 5, 2, 3, 3)
        first = self._chance.sample(acts, len(acts))  # on a fast machine chance alone may leave one out
        while not is_over():
            time.sleep(self._chance.uniform(0.2, 0.8))
            if self._restarts and sum(self.done.values()) > AT_FIRST:
                self._restarts -= 1
                self._restart_broker()
            act = first.pop() if first else self._chance.choices(acts, weights)[0]
            act()

    def _kill_worker(self) -> None:
        name = self._chance.choice(self._hosts)
        self._fleet.workers[name].kill()
        self.done["worker"] += 1
        time.sleep(self._chance.uniform(0, 0.5))
        self._fleet.worker(name)

    def _kill_supervisor(self) -> bool:
        for name in self._chance.sample(self._hosts, len(self._hosts)):
            for entry in sorted((self._fleet.state_dir(name) / "executions").glob("t-*")):
                if (entry / "result.json").exists():
                    continue
                with suppress(OSError, ValueError):
                    pid = self._fleet.supervisor(entry.name, name)
                    if is_supervisor(pid, name):
                        os.kill(pid, signal.SIGKILL)
                        # its own too, whose outcome the worker may have written down by now
                        self.killed_supervisors |= {(entry.name, name)}
                        self.killed_supervisors |= {(found, name) for found in self._executions_of(pid, name)}
                        self.done["supervisor"] += 1
                        return True
        return False

    def _executions_of(self, pid: int, name: str) -> set[str]:
        """Return what a supervisor that was just killed may have been at: it may have gone on to the next meanwhile."""
        found = set()
        for entry in (self._fleet.state_dir(name) / "executions").glob("t-*"):
            with suppress(OSError, ValueError):
                if not (entry / "result.json").exists() and self._fleet.supervisor(entry.name, name) == pid:
                    found.add(entry.name)
        return found

    def _kill_both(self) -> None:
        name = self._chance.choice(self._hosts)
        worker = self._fleet.workers[name]
        worker.send(signal.SIGSTOP)
        self._kill_supervisor()
        worker.kill()
        self.done["worker and a supervisor"] += 1
        self._fleet.worker(name)

    def _kill_aggregator(self) -> None:
        self._fleet.aggregators.pop(0).kill()
        self.done["aggregator"] += 1
        self._fleet.aggregator()

    def _cut(self) -> None:
        with suppress(redis.RedisError), self._fleet.server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
            self.done["connections"] += 1

    def _restart_broker(self) -> None:
        self._fleet.server.kill()
        time.sleep(self._chance.uniform(0, 1))
        self._fleet.server.start()
        self.done["broker"] += 1


def is_supervisor(pid: int, instance_id: str) -> bool:
    """Tell whether *pid* is a process of this host's worker program: a number may have been given to another since."""
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
        return f"FLEETHAND_INSTANCE_ID={instance_id}".encode() in file.read().split(b"\0")
    return False


def chaos_settings(**changes: float) -> dict[str, float]:
    """Return settings of a control plane that make deadlines come within the test."""
    values: dict[str, float] = {"delivery_window_s": 15, "lease_s": 10, "stop_grace_s": 0.5, "redeliver_after_s": 1}
    assert set(values) <= set(Settings.__dataclass_fields__)
    return {**values, **changes}
