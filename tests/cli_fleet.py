"""Real hosts, and `fleethand` as a person runs it: a process with its own stdout and stderr."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from enrolled import enrol_worker, keyring_in
from fleethand_dispatcher.keyring import Keyring
from processes import BIN, Programs, clean_environment
from servers import running_server
from waiting import wait_until

HOSTS = ("host-1", "host-2", "host-3")


class Cli:
    """Runs `fleethand` on one server."""

    def __init__(self, url: str, programs: Programs, keyring: Keyring) -> None:
        self.url = url
        self.keyring = keyring
        self.programs = programs

    def environ(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a run: the server by FLEETHAND_REDIS_URL, short deadlines."""
        ours = {"FLEETHAND_REDIS_URL": self.url, "FLEETHAND_KEYS_DIR": str(self.keyring.folder)}
        return clean_environment(**{**ours, "FLEETHAND_DELIVERY_WINDOW_S": "3", **extra})

    def __call__(self, *args: str, stdin: str | None = None, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run to the end."""
        return subprocess.run(
            [BIN / "fleethand", *args],
            env=self.environ(environ),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def json(self, *args: str) -> Any:
        """Run with `--json` and return what it printed."""
        words = list(args)
        words.insert(words.index("--") if "--" in words else len(words), "--json")
        return json.loads(self(*words).stdout)

    def start(self, *args: str) -> "subprocess.Popen[str]":
        """Start it and leave it running."""
        return subprocess.Popen(
            [BIN / "fleethand", *args],
            env=self.environ({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_ctrl_c,  # noqa: PLW1509 - nothing but one system call
        )

    def wait_for_status(self, status: str, invocation: str = "last") -> None:
        """Wait until an invocation is in a status."""
        wait_until(lambda: self.json("invocation", "show", invocation).get("invocation_status") == status, 20, status)


def _heed_ctrl_c() -> None:
    """Tests that a shell runs in the background inherit that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def running_fleet(folder: Path) -> Iterator[Cli]:
    """Start a server with persistence, an aggregator and three hosts; yields when all are online."""
    programs = Programs(folder / "programs")
    with running_server(folder / "valkey", arguments=("--appendonly", "yes")) as server:
        cli = Cli(server.url, programs, keyring_in(folder / "keys"))
        try:
            environ = {"FLEETHAND_REDIS_URL": server.url}
            keys = {"FLEETHAND_KEYS_DIR": str(cli.keyring.folder)}
            programs.start(BIN / "fleethand", "aggregator", environ={**environ, **keys})
            for number, host in enumerate(HOSTS):
                state = folder / "programs" / host
                enrol_worker(server.url, cli.keyring, host, state)
                tag = f"env={'prod' if number < 2 else 'test'}"
                argv = ("start", "--instance-id", host, "--state-dir", state, "--tag", tag)
                programs.start(BIN / "fleethand-worker", *argv, name=host, environ=environ)
            wait_until(lambda: _online(cli) == list(HOSTS), 30, "three hosts online")
            yield cli
        finally:
            programs.kill_all()


def _online(cli: Cli) -> list[str]:
    return [row["instance_id"] for row in cli.json("instance", "list") if row["online"]]


def read_line(program: "subprocess.Popen[str]") -> str:
    """Return the next line of a program's stdout."""
    assert program.stdout is not None
    return program.stdout.readline()


def is_alive(pid: int) -> bool:
    """Tell whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
