"""The rights that docs/how-to/run-on-many-hosts.md gives a host are enough for it, and for nothing else."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from fleethand_common.states import InvocationStatus
from fleethand_dispatcher import Dispatcher
from processes import Program
from servers import Server
from waiting import wait_until

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/run-on-many-hosts.md"


@pytest.fixture
def own_rights(own_server: Server) -> str:
    """The page's user on a server of this test; the URL that it uses."""
    found = re.search(r"^```text\n(ACL SETUSER .*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    with own_server.client() as client:
        client.execute_command(*found[1].split())
    return own_server.url.replace("redis://", "redis://web-1:a-long-password-of-its-own@")


def test_host_with_the_rights_of_the_page_does_all_it_must(
    own_server: Server,
    own_rights: str,
    worker_process: Callable[..., Program],
    control_plane: Callable[..., Program],
) -> None:
    """It runs, streams, stops and restarts; the server refuses it nothing on the way."""
    control_plane(redis_url=own_server.url)
    worker = worker_process("web-1", redis_url=own_rights)
    with Dispatcher(own_server.url) as fleet, own_server.client() as client:
        wait_until(lambda: fleet.describe_instances().items, 20, "the host")
        run = fleet.run_command(command_content="echo one; sleep 1; echo two", all_instances=True)
        assert run.wait(30).invocation_status is InvocationStatus.SUCCESS
        stopped = fleet.run_command(command_content="sleep 600", all_instances=True)
        wait_until(lambda: stopped.status is InvocationStatus.RUNNING, 20, "the command running")
        stopped.stop()
        assert stopped.wait(30).invocation_status is InvocationStatus.STOPPED
        worker.stop()
        worker_process("web-1", redis_url=own_rights)
        again = fleet.run_command(command_content="true", all_instances=True)
        assert again.wait(30).invocation_status is InvocationStatus.SUCCESS

        assert [] == client.execute_command("ACL", "LOG")


@pytest.mark.parametrize(
    "command",
    [
        ("LPUSH", "fleethand:host:web-2:orders", "x"),
        ("BRPOP", "fleethand:host:web-2:orders", "1"),
        ("BRPOP", "fleethand:reports", "1"),
        ("HGETALL", "fleethand:instances"),
        ("FLUSHALL",),
        ("EVAL", "return 1", "0"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
    ],
    ids=" ".join,
)
def test_host_with_the_rights_of_the_page_may_do_no_more(own_rights: str, command: tuple[str, ...]) -> None:
    """Another host's queues, the reports of others, the records and the server itself are out of reach."""
    with redis.Redis.from_url(own_rights) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)
