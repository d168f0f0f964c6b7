"""Everything over TLS with client certificates; and who lacks one, or trusts another authority, does not get in."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from authority import Authority
from documents import fits, read
from enrolled import keyring_in
from fleethand_common.credentials import PROVISION_FILE, encode_provision
from fleethand_common.errors import ServerUnavailableError
from fleethand_common.states import InvocationStatus
from fleethand_dispatcher.dispatcher import Dispatcher
from fleethand_dispatcher.enrolment import Enrolment
from fleethand_dispatcher.keyring import Keyring, write_secret
from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.redis_users import RedisUsers
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from processes import BIN, MARK, Program, Programs, clean_environment
from servers import free_port
from tls_servers import TlsServer, redis_server, tls_settings, wire_tap
from waiting import wait_until

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/use-tls.md"
WORD = "a-word-that-nobody-else-says"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of the fleet."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Iterator[TlsServer]:
    """A server that speaks TLS only and wants certificates."""
    server = TlsServer(tmp_path / "server", authority)
    program = server.start()
    yield server
    program.kill()


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """The control plane's keys."""
    return keyring_in(tmp_path / "keys")


def environment(**settings: object) -> dict[str, str]:
    """Return settings as a program reads them."""
    return {f"FLEETHAND_{name.upper()}": str(value) for name, value in settings.items()}


def provision(settings: Settings, keys: Keyring, instance_id: str, state_dir: Path) -> None:
    """Put an identity into a worker's state folder."""
    store = Store.at(settings.server_url(), keys.vault)
    try:
        made = Enrolment(keys, store.hosts).provision(instance_id, redis_url=settings.redis_url, at_ms=store.now_ms())
    finally:
        store.close()
    state_dir.mkdir(parents=True)
    write_secret(state_dir / PROVISION_FILE, encode_provision(made))


class Secured:
    """A fleet on a TLS server: each part by its own user, with its own certificate."""

    def __init__(self, server: TlsServer, keys: Keyring, programs: Programs) -> None:
        self.server = server
        self.keys = keys
        self.programs = programs
        self.settings = Settings(
            redis_url=server.url(), keys_dir=str(keys.folder), **tls_settings(server.authority, server.ours)
        )

    def worker(self, instance_id: str, *, port: int | None = None, **settings: Any) -> Program:
        """Start a worker with a user and a certificate of its own; *settings* may say otherwise."""
        with self.server.client() as client:
            url = RedisUsers(client).create_host(instance_id).url(self.server.url(port))
        folder = self.programs.folder / instance_id
        provision(self.settings, self.keys, instance_id, folder)
        files = tls_settings(self.server.authority, self.server.authority.sign(instance_id))
        values = {"redis_url": url, "state_dir": folder, "reconnect_jitter_s": 0.2, **files, **settings}
        environ = environment(**{name: value for name, value in values.items() if value != ""})
        return self.programs.start(BIN / "fleethand-worker", "start", name=instance_id, environ=environ)

    def environ(self, role: Role) -> dict[str, str]:
        """Return the settings of a part of the control plane, which logs in as its own user."""
        with self.server.client() as client:
            url = RedisUsers(client).create_role(role).url(self.server.url())
        files = tls_settings(self.server.authority, self.server.authority.sign(role))
        return environment(redis_url=url, keys_dir=self.keys.folder, **files)

    def start(self, role: Role, *argv: str | Path) -> Program:
        """Start a part of the control plane."""
        return self.programs.start(*argv, name=role, environ=self.environ(role))


@pytest.fixture
def secured(server: TlsServer, keys: Keyring, programs: Programs) -> Secured:
    """A fleet that nothing of runs yet."""
    return Secured(server, keys, programs)


def test_whole_fleet_works_over_tls_and_the_wire_shows_nothing(secured: Secured) -> None:
    """Worker, aggregator, beat, dashboard and command line, with client certificates and users of their own."""
    celery = ("-A", "fleethand_dispatcher.celery_app", "beat", "--loglevel=INFO")
    secured.start(Role.AGGREGATOR, BIN / "fleethand", "aggregator")
    beat = secured.start(Role.BEAT, BIN / "celery", *celery)
    dashboard = secured.start(Role.DASHBOARD, BIN / "fleethand", "dashboard", "--port", str(free_port()))
    with wire_tap(secured.server.port) as tap:
        worker = secured.worker("web-1", port=tap.port)
        worker.wait_for_output("event=ready")
        environ = clean_environment(**secured.environ(Role.DISPATCHER))

        def fleethand(*arguments: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [BIN / "fleethand", *arguments], env=environ, capture_output=True, text=True, check=False, timeout=60
            )

        wait_until(lambda: "web-1" in fleethand("instance", "list").stdout, 20, "the host")
        done = fleethand("run", "--all", "--", f"echo {WORD}")
        assert done.returncode == 0, done.stderr
        assert WORD in done.stdout
        beat.wait_for_output("works, epoch")
        dashboard.wait_for_output("Connected to")
        worker.stop()
    assert len(tap.seen) > 2000
    for text in (WORD, "BRPOP", "fleethand", "web-1", "PING", "celery"):
        assert text.encode() not in tap.seen
    with secured.server.client() as client:
        assert [] == client.acl_log()


def no_certificate(_: Path) -> dict[str, str]:
    """Show none."""
    return {"tls_certfile": "", "tls_keyfile": ""}


def certificate_of_another_authority(folder: Path) -> dict[str, str]:
    """Show one that the server cannot check."""
    pair = Authority(folder / "stranger").sign("web-1")
    return {"tls_certfile": str(pair.cert), "tls_keyfile": str(pair.key)}


def trust_in_another_authority(folder: Path) -> dict[str, str]:
    """Believe somebody who did not sign the server's certificate."""
    return {"tls_ca_certs": str(Authority(folder / "stranger").cert)}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (no_certificate, "FLEETHAND_TLS_CERTFILE"),
        (certificate_of_another_authority, "FLEETHAND_TLS_CERTFILE"),
        (trust_in_another_authority, "FLEETHAND_TLS_CA_CERTS"),
    ],
)
def test_worker_does_not_connect_and_says_why_when_a_certificate_is_wrong(
    secured: Secured, tmp_path: Path, wrong: Any, says: str
) -> None:
    """It goes on trying, as the server may be put right meanwhile."""
    worker = secured.worker("web-1", **wrong(tmp_path))

    said = worker.wait_for_output("event=not_connected")

    assert says in said
    assert "event=connected" not in said
    assert worker.is_running


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("localhost", "127.0.0.1"), "an address in the URL that the server's certificate holds"),
        (("rediss://", "redis://"), "rediss://"),
    ],
    ids=["wrong name", "no TLS"],
)
def test_nobody_connects_by_a_wrong_name_or_without_tls(
    secured: Secured, programs: Programs, change: tuple[str, str], says: str
) -> None:
    """Neither a worker nor the control plane; both say what to do."""
    url = secured.server.url().replace(*change)
    files = tls_settings(secured.server.authority, secured.server.ours) if url.startswith("rediss") else {}
    plane = Settings(redis_url=url, keys_dir=str(secured.keys.folder), **files)
    worker = secured.worker("web-1", **{**dict.fromkeys(("tls_ca_certs", "tls_certfile", "tls_keyfile"), ""), **files})
    worker.kill()
    environ = environment(redis_url=url, state_dir=programs.folder / "web-1", **files)
    again = programs.start(BIN / "fleethand-worker", "start", environ=environ)

    assert says in again.wait_for_output("event=not_connected")
    with (
        Dispatcher(settings=plane) as fleet,
        pytest.raises(ServerUnavailableError, match="cannot reach Redis") as error,
    ):
        fleet.describe_instances()
    assert says in str(error.value)


def test_page_does_what_it_says(programs: Programs, keys: Keyring, tmp_path: Path) -> None:
    """The certificates that the page makes carry a command from end to end, each part as the user that it makes."""
    home = programs.folder / "home"
    home.mkdir(parents=True)
    redis_server(tmp_path / "bin")
    path = f"{tmp_path / 'bin'}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"
    ours = {MARK: programs.mark, "HOME": str(home), "FLEETHAND_KEYS_DIR": str(keys.folder)}
    environ = clean_environment(**ours) | {"PATH": path}
    port = str(free_port())
    steps, skipped = read(PAGE)
    assert not skipped
    for step in steps:
        output = home / ".output"
        with output.open("wb") as sink:
            command = step.command.replace("6380", port)
            ended = subprocess.run(
                ["bash", "-c", command], env=environ, cwd=home, stdout=sink, stderr=sink, check=False, timeout=60
            )
        printed = output.read_text()
        assert (step.exit_code, True) == (ended.returncode, fits(step.expected, printed)), (step, printed)

    files = {"tls_ca_certs": "ca.pem", "tls_certfile": "web-1.pem", "tls_keyfile": "web-1.key"}
    files = {name: str(home / "tls" / file) for name, file in files.items()}
    plane = Settings(redis_url=f"rediss://default:s3cret@localhost:{port}/0", **files)
    provision(plane, keys, "web-1", programs.folder / "web-1")
    worker_url, aggregator_url = ((home / f"{name}.url").read_text().strip() for name in ("web-1", "aggregator"))
    worker = environment(redis_url=worker_url, state_dir=programs.folder / "web-1", **files)
    aggregator = environment(redis_url=aggregator_url, keys_dir=keys.folder, **files)
    programs.start(BIN / "fleethand-worker", "start", environ=worker).wait_for_output("event=ready")
    programs.start(BIN / "fleethand", "aggregator", environ=aggregator)
    with Dispatcher(settings=plane, keyring=keys) as fleet:
        wait_until(lambda: fleet.describe_instances().items, 20, "the host")
        run = fleet.run_command(command_content="echo hello", all_instances=True)
        assert run.wait(20).invocation_status is InvocationStatus.SUCCESS


def test_server_takes_no_connection_without_tls(server: TlsServer) -> None:
    """The port for plain text is closed, and the one for TLS does not speak it."""
    with redis.Redis(port=server.port) as client, pytest.raises(redis.ConnectionError):
        client.ping()
