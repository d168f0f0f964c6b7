"""A line that is dead without saying so."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from enrolled import enrol_worker
from fleethand_common.messages import Started
from fleethand_dispatcher.keyring import Keyring
from processes import Program, Programs
from servers import Server
from unit.worker.control_line import ControlLine
from waiting import wait_until

StartWorker = Callable[..., Program]


class Swallower:
    """A proxy that can swallow all that goes over the connections it has, and keeps them open."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[dict[str, bool]] = []
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                pair = {"swallow": False}
                self._pairs.append(pair)
                self._sockets += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink, pair), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, pair: dict[str, bool]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not pair["swallow"]:
                    sink.sendall(data)

    def swallow(self) -> None:
        """Let the connections that there are go dead; new ones work."""
        for pair in self._pairs:
            pair["swallow"] = True

    def close(self) -> None:
        """Close everything."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def swallower(server: Server) -> Iterator[Swallower]:
    """A proxy in front of the server."""
    proxy = Swallower(server.port)
    try:
        yield proxy
    finally:
        proxy.close()


@pytest.mark.slow
def test_worker_comes_back_when_its_line_is_dead(
    worker_process: StartWorker, redis_client: "redis.Redis[str]", keyring: Keyring, swallower: Swallower
) -> None:
    """A connection that says nothing any more is noticed within 30 s, and a new one is made."""
    line = ControlLine(redis_client, keyring)
    worker_process(redis_url=f"redis://127.0.0.1:{swallower.port}/0", reconnect_jitter_s=0.5)
    line.wait_for_hello()
    swallower.swallow()
    line.wait_for_hello(timeout_s=30, count=2)
    line.order("t-back", "echo back")
    assert line.outcome("t-back").output == "back\n"


@pytest.mark.slow
def test_connections_stay_two_when_they_are_cut_again_and_again(
    worker_process: StartWorker, redis_client: "redis.Redis[str]", keyring: Keyring
) -> None:
    """Nothing leaks at a reconnect: no connection, no timer that beats twice."""
    line = ControlLine(redis_client, keyring)
    worker_process(reconnect_jitter_s=0, heartbeat_interval_s=0.5)
    for count in range(1, 6):
        line.wait_for_hello(count=count)
        line.client.client_kill_filter(_type="normal", skipme=True)
    line.wait_for_hello(count=6)
    line.order("t-after", "echo after")
    assert line.outcome("t-after").output == "after\n"
    named = [client for client in line.client.client_list() if client["name"] == "host-1"]
    assert len(named) == 2
    before = len([report for report in line.read() if type(report).__name__ == "Heartbeat"])
    line.order("t-pause", "sleep 2")
    line.outcome("t-pause")
    beats = len([report for report in line.read() if type(report).__name__ == "Heartbeat"]) - before
    assert 2 <= beats <= 6
    wait_until(lambda: line.client.llen(line.orders_queue) == 0, 5, "an empty queue")


def test_outcome_arrives_when_the_server_was_full(
    worker_process: StartWorker, own_server: Server, keyring: Keyring
) -> None:
    """A server without memory neither ends the worker nor loses an outcome."""
    worker = worker_process(redis_url=own_server.url)
    with own_server.client() as client:
        line = ControlLine(client, keyring)
        line.wait_for_hello()
        line.order("t-full", "sleep 0.5; echo done")
        line.wait_for(Started, "t-full")
        client.config_set("maxmemory", 1)
        worker.wait_for_output("event=not_sent")
        client.config_set("maxmemory", 0)
        assert line.outcome("t-full").output == "done\n"
        assert worker.is_running


def test_worker_waits_for_the_server_and_can_be_ended_meanwhile(
    worker_process: StartWorker, programs: Programs, own_server: Server, keyring: Keyring
) -> None:
    """No server at the start is no error."""
    enrol_worker(own_server.url, keyring, "host-1", programs.folder / "state" / "host-1")
    own_server.stop()
    first = worker_process(redis_url=own_server.url, enrol_at="", reconnect_jitter_s=0.3)
    first.wait_for_output("event=not_connected")
    assert first.stop(5) == 0
    second = worker_process(redis_url=own_server.url, enrol_at="", reconnect_jitter_s=0.3)
    second.wait_for_output("event=not_connected")
    own_server.start()
    with own_server.client() as client:
        ControlLine(client, keyring).wait_for_hello()


WORKER = ("ACL SETUSER", "worker")


@pytest.mark.parametrize(
    ("ill", "well", "told"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "reason=ReadOnlyError"),
        ((*WORKER, "-lpush", "-time", "-publish"), (*WORKER, "+@all"), "event=not_sent"),
        ((*WORKER, "resetpass", ">other"), (*WORKER, "resetpass", ">own"), "reason=AuthenticationError"),
    ],
)
def test_outcome_arrives_when_the_server_refused_for_a_while(
    worker_process: StartWorker, own_server: Server, keyring: Keyring, *, ill: str, well: str, told: str
) -> None:
    """A replica after a failover, a user that lacks rights or has another password: the host goes on by itself."""
    with own_server.client() as client:
        client.execute_command(*WORKER, "on", ">own", "~*", "&*", "+@all")
        url = own_server.url.replace("//", "//worker:own@")
        worker = worker_process(redis_url=url, heartbeat_interval_s=0.2, reconnect_jitter_s=0.2)
        line = ControlLine(client, keyring)
        line.wait_for_hello()
        line.order("t-before", "sleep 0.5; echo done")
        line.wait_for(Started, "t-before")
        client.execute_command(*ill)
        client.client_kill_filter(user="worker")
        worker.wait_for_output(told)
        client.execute_command(*well)
        assert line.outcome("t-before").output == "done\n"
        line.order("t-after", "echo after")
        assert line.outcome("t-after").output == "after\n"
        assert worker.is_running
