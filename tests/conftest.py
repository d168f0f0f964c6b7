"""Fixtures that all tests share: a real server, real workers, a real control plane; and nothing is left behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings

from enrolled import enrol_worker, keyring_in
from fleethand_dispatcher.keyring import Keyring
from processes import BIN, Program, Programs
from servers import Server, running_server

settings.register_profile("fleethand", deadline=None)
settings.load_profile("fleethand")


@pytest.fixture(scope="session")
def session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server per test process."""
    with running_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """The keys of the test process's control plane."""
    return keyring_in(tmp_path_factory.mktemp("control") / "keys")


@pytest.fixture
def server(session_server: Server) -> Server:
    """The test process's server, emptied; it is ours, so everything in it may go."""
    with session_server.client() as client:
        client.flushall()
    return session_server


@pytest.fixture
def redis_url(server: Server) -> str:
    """The URL of an empty server."""
    return server.url


@pytest.fixture
def redis_client(server: Server) -> Iterator["redis.Redis[str]"]:
    """A client on an empty server."""
    with server.client() as client:
        yield client


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test alone, with what it persists on disk: to stop, kill and start again."""
    with running_server(tmp_path / "valkey", arguments=("--appendonly", "yes", "--appendfsync", "always")) as server:
        yield server


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Start programs with `programs.start`; they and all that came from them are killed afterwards."""
    programs = Programs(tmp_path / "programs")
    try:
        yield programs
    finally:
        programs.kill_all()


@pytest.fixture
def worker_process(programs: Programs, keyring: Keyring, request: pytest.FixtureRequest) -> Callable[..., Program]:
    """Start a worker: `worker_process("host-1", state_dir=…, heartbeat_interval_s=1)`; other arguments are settings.

    The same instance id has the same state directory, so that a second call is a restart. `redis_url` is this test's;
    `enrol_at` is the same server's where a host may not write enrolments, and empty if it is enrolled already.
    """

    def start(instance_id: str = "host-1", **settings: object) -> Program:
        values = {"instance_id": instance_id, "state_dir": programs.folder / "state" / instance_id, **settings}
        url = values.pop("redis_url", None) or request.getfixturevalue("redis_url")
        enrol_at = str(values.pop("enrol_at", url))
        if enrol_at:
            enrol_worker(enrol_at, keyring, instance_id, Path(str(values["state_dir"])))
        environ = {"FLEETHAND_REDIS_URL": str(url), **_environment(values)}
        return programs.start(BIN / "fleethand-worker", "start", name=f"worker-{instance_id}", environ=environ)

    return start


@pytest.fixture
def control_plane(programs: Programs, keyring: Keyring, request: pytest.FixtureRequest) -> Callable[..., Program]:
    """Start an aggregator: `control_plane(redeliver_after_s=1)`; arguments are settings, `redis_url` is this test's."""

    def start(**settings: object) -> Program:
        url = str(settings.pop("redis_url", None) or request.getfixturevalue("redis_url"))
        environ = {"FLEETHAND_KEYS_DIR": str(keyring.folder), **_environment(settings)}
        argv = (BIN / "fleethand", "aggregator", "--redis-url", url)
        return programs.start(*argv, name="aggregator", environ=environ)

    return start


def _environment(settings: dict[str, object]) -> dict[str, str]:
    return {f"FLEETHAND_{name.upper()}": str(value) for name, value in settings.items()}
