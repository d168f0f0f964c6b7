"""The folder of an embedded stack."""

import os
import stat
from pathlib import Path

import pytest

from fleethand_common.errors import SettingsError
from fleethand_dispatcher.stack.data_dir import ComponentState, DataDir, StackState, default_data_dir, resolve_redis_url
from fleethand_dispatcher.stack.processes import Identity


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """An empty data folder."""
    folder = DataDir(tmp_path / "data")
    folder.create()
    return folder


def state(*, alive: bool) -> StackState:
    """Return a stack whose server is this test's own process, or a process that never was."""
    process = Identity.of(os.getpid()) if alive else Identity(pid=os.getpid(), started_at=1.0)
    server = ComponentState(name="server", role="server", state="running", process=process)
    return StackState(
        keeper=process, server="redis://127.0.0.1:7777/0", dashboard_url=None, workers=1, components=(server,)
    )


def test_password_is_made_once_and_only_the_owner_can_read_it(data: DataDir) -> None:
    """The password stays, so that the data can be used again."""
    password = data.password()
    file = data.valkey / "server.json"

    assert password == data.password()
    assert len(password) > 30
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert 0o700 == stat.S_IMODE(data.valkey.stat().st_mode)


def test_port_is_remembered_beside_the_password(data: DataDir) -> None:
    """The next start uses the same port if it is free."""
    password = data.password()
    assert data.port() is None

    data.keep_port(7777)

    assert 7777 == data.port()
    assert password == data.password()


def test_state_is_read_as_it_was_written_and_holds_no_password(data: DataDir) -> None:
    """`stack.json` is for people and programs to read."""
    data.write_state(state(alive=True))

    assert state(alive=True) == data.read_state()
    assert data.password() not in (data.path / "stack.json").read_text()


def test_state_that_cannot_be_read_is_a_clear_error(data: DataDir) -> None:
    """The message names the file."""
    (data.path / "stack.json").write_text("{")

    with pytest.raises(SettingsError, match=r"stack\.json"):
        data.read_state()


def test_resolve_redis_url_has_the_password_of_what_runs(data: DataDir) -> None:
    """What `--data` means to every command."""
    data.write_state(state(alive=True))

    assert f"redis://:{data.password()}@127.0.0.1:7777/0" == resolve_redis_url(data.path)


@pytest.mark.parametrize("left", [True, False])
def test_resolve_redis_url_says_how_to_start_when_nothing_runs(data: DataDir, *, left: bool) -> None:
    """A record of processes that are gone, or of others with their pids, counts as nothing."""
    if left:
        data.write_state(state(alive=False))

    with pytest.raises(SettingsError, match=f"fleethand up --data {data.path}"):
        resolve_redis_url(data.path)


def test_resolve_redis_url_makes_no_folder(tmp_path: Path) -> None:
    """Asking leaves nothing behind."""
    with pytest.raises(SettingsError):
        resolve_redis_url(tmp_path / "none")

    assert not (tmp_path / "none").exists()


def test_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """The message says what to do."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="--data"):
        DataDir(tmp_path / "file" / "data").create()


def test_lock_is_held_by_one_at_a_time(data: DataDir) -> None:
    """A second `up` learns of the first."""
    with data.locked("up") as first, data.locked("up") as second:
        assert [True, False] == [first, second]
    with data.locked("up") as third:
        assert third


def test_default_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It follows the XDG convention."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert tmp_path / "fleethand" == default_data_dir()
