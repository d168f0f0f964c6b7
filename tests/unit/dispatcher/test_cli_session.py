"""Which server a command talks to."""

from pathlib import Path

import click
import pytest

from fleethand_common.errors import SettingsError
from fleethand_dispatcher.cli import session as session_module
from fleethand_dispatcher.cli.session import Session


@pytest.fixture(autouse=True)
def stacks(monkeypatch: pytest.MonkeyPatch) -> dict[Path, str]:
    """Stand in for the data directories of embedded stacks."""
    running: dict[Path, str] = {Path("/data"): "redis://embedded", Path("/other"): "redis://other"}

    def url_of(data: Path, *, admin: bool = False) -> str:
        if data not in running:
            raise SettingsError(f"nothing runs in {data}")
        return running[data]

    monkeypatch.setattr(session_module, "_url_of", url_of)
    monkeypatch.setattr(session_module, "_default_data", lambda: Path("/default"))
    return running


def url(**given: object) -> str:
    """Return the URL that a session with these arguments uses."""
    return Session(**given).settings()[0].redis_url  # type: ignore[arg-type]


def test_the_first_of_the_sources_counts(tmp_path: Path) -> None:
    """Flags before environment before file; --data before FLEETHAND_REDIS_URL."""
    file = tmp_path / "fleethand.toml"
    file.write_text('redis_url = "redis://file"\n')
    environ = {"FLEETHAND_REDIS_URL": "redis://env", "FLEETHAND_DATA": "/other"}
    assert url(redis_url="redis://flag", environ=environ, config=file) == "redis://flag"
    assert url(data=Path("/data"), environ=environ, config=file) == "redis://embedded"
    assert url(environ=environ, config=file) == "redis://env"
    assert url(environ={"FLEETHAND_DATA": "/other"}, config=file) == "redis://other"
    assert url(environ={"FLEETHAND_CONFIG": str(file)}) == "redis://file"


def test_the_default_data_directory_counts_if_it_runs(stacks: dict[Path, str]) -> None:
    """`fleethand up` and then `fleethand run` need no option."""
    with pytest.raises(click.UsageError, match=r"--redis-url URL .*or --data DIR"):
        url(environ={})
    stacks[Path("/default")] = "redis://default"
    assert url(environ={}) == "redis://default"
    assert Session(environ={}).settings()[1]["redis_url"] == "/default (running)"


def test_a_data_directory_without_a_server_is_an_error() -> None:
    """It was named, so nothing else is tried."""
    with pytest.raises(SettingsError, match="nothing runs in /empty"):
        url(data=Path("/empty"), environ={"FLEETHAND_REDIS_URL": "redis://env"})


def test_two_servers_are_refused() -> None:
    """It must be clear which fleet a command runs on."""
    with pytest.raises(click.UsageError, match="name two servers"):
        url(redis_url="redis://a", data=Path("/data"), environ={})


def test_origins_tell_where_the_url_comes_from() -> None:
    """For `config show`."""
    assert Session(data=Path("/data"), environ={}).load()[1]["redis_url"] == "--data /data"
    assert Session(environ={"FLEETHAND_DATA": "/other"}).load()[1]["redis_url"] == "FLEETHAND_DATA=/other"
    assert Session(redis_url="redis://a", environ={}).load()[1]["redis_url"] == "flag"
    assert Session(environ={}).load()[1]["redis_url"] == "default"
