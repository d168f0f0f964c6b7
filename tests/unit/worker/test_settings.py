"""Settings of a host, and its command line."""

import json
from pathlib import Path

import pytest

from fleethand_common.errors import SettingsError
from fleethand_worker.cli import main
from fleethand_worker.settings import WorkerSettings

GOOD = {"instance_id": "i-1", "redis_url": "redis://localhost"}


@pytest.mark.parametrize(
    "changes",
    [
        {"instance_id": "a b"},
        {"redis_url": "http://x"},
        {"concurrency": 0},
        {"heartbeat_interval_s": 0},
        {"queue_limit": -1},
        {"log_level": "LOUD"},
    ],
)
def test_settings_are_refused_when_a_value_cannot_be(changes: dict[str, object]) -> None:
    """What a type alone cannot say is checked too, and the message says what is wrong."""
    with pytest.raises(SettingsError, match="cannot use"):
        WorkerSettings(**{**GOOD, **changes})


def test_state_path_is_the_hosts_own_when_none_was_given() -> None:
    """Given, it is taken as it is."""
    assert WorkerSettings(**GOOD, state_dir="/x").state_path() == "/x"


def test_config_show_tells_where_each_value_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flag before environment before file before default; the URL is masked."""
    file = tmp_path / "worker.toml"
    file.write_text('concurrency = 3\nname = "file"\nqueue_limit = 7\n')
    monkeypatch.setenv("FLEETHAND_NAME", "environment")
    monkeypatch.setenv("FLEETHAND_CONCURRENCY", "4")
    arguments = ["config", "show", "--json", "--config", str(file), "--instance-id", "i-1", "--concurrency", "5"]
    assert main([*arguments, "--redis-url", "redis://:pw@h", "--tag", "a=1", "--tag", "b=2"]) == 0
    rows = {row["name"]: (row["value"], row["origin"]) for row in json.loads(capsys.readouterr().out)}
    assert rows["concurrency"] == ("5", "flag")
    assert rows["name"] == ("environment", "FLEETHAND_NAME")
    assert rows["queue_limit"] == ("7", str(file))
    assert rows["heartbeat_interval_s"] == ("30.0", "default")
    assert rows["tags"] == ("a=1,b=2", "flag")
    assert rows["redis_url"][0] == "******"


def test_start_says_what_is_missing_when_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A host that is not enrolled is told how to be, without a traceback."""
    assert main(["start", "--state-dir", str(tmp_path)]) == 1
    assert "fleethand-worker register" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Each setting stands in it with its environment variable."""
    with pytest.raises(SystemExit):
        main(["start", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "example:" in text
    assert "[FLEETHAND_HEARTBEAT_INTERVAL_S]" in text
