"""Reading and showing settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleethand_common.errors import SettingsError
from fleethand_common.settings import load, setting, show


@dataclass(frozen=True, kw_only=True)
class Example:
    """One setting of each kind."""

    redis_url: str = setting("redis://localhost", help="the server", secret=True)
    timeout_s: float = setting(60.0, help="seconds")
    places: int = setting(16, help="how many at once")
    verbose: bool = setting(default=False, help="say more")
    tags: dict[str, str] = setting({}, help="labels")
    paths: tuple[str, ...] = setting((), help="folders")
    username: str | None = setting(None, help="who")


@dataclass(frozen=True, kw_only=True)
class Needy:
    """A setting that must be given."""

    instance_id: str = setting(help="the name of this host")


def read(flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, file: Path | None = None) -> Any:
    """Load `Example` and return the settings alone."""
    return load(Example, flags=flags or {}, environ=environ or {}, file=file)[0]


def test_load_returns_the_defaults_when_nothing_is_given() -> None:
    """Every setting with a default can be left out."""
    settings, origins = load(Example, flags={}, environ={})

    assert Example() == settings
    assert set(origins.values()) == {"default"}


def test_load_prefers_flag_to_environment_to_file_to_default(tmp_path: Path) -> None:
    """The nearest place that has a value wins, and is named."""
    file = tmp_path / "fleethand.toml"
    file.write_text('places = 1\ntimeout_s = 1\nusername = "file"\n')
    environ = {"FLEETHAND_PLACES": "2", "FLEETHAND_TIMEOUT_S": "2"}

    settings, origins = load(Example, flags={"places": 3, "timeout_s": None}, environ=environ, file=file)

    assert (settings.places, settings.timeout_s, settings.username, settings.verbose) == (3, 2.0, "file", False)
    assert [origins[name] for name in ("places", "timeout_s", "username", "verbose")] == [
        "flag",
        "FLEETHAND_TIMEOUT_S",
        str(file),
        "default",
    ]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TIMEOUT_S", "2.5", 2.5),
        ("PLACES", "4", 4),
        ("VERBOSE", "true", True),
        ("VERBOSE", "0", False),
        ("TAGS", "role=web, zone = a", {"role": "web", "zone": "a"}),
        ("TAGS", "url=a=b", {"url": "a=b"}),
        ("TAGS", "", {}),
        ("PATHS", "/a, /b", ("/a", "/b")),
        ("PATHS", "", ()),
        ("USERNAME", "", None),
        ("USERNAME", "root", "root"),
    ],
)
def test_load_reads_text_as_the_kind_of_the_setting(name: str, text: str, expected: object) -> None:
    """The environment has only text; the declared kind decides."""
    assert expected == getattr(read(environ={f"FLEETHAND_{name}": text}), name.lower())


@pytest.mark.parametrize(
    ("name", "text"), [("PLACES", "many"), ("PLACES", "1.5"), ("VERBOSE", "maybe"), ("TAGS", "web")]
)
def test_load_names_the_value_and_its_place_when_it_does_not_fit(name: str, text: str) -> None:
    """The operator is told what to change, and where."""
    with pytest.raises(SettingsError, match=f"{text!r}.*{name.lower()}"):
        read(environ={f"FLEETHAND_{name}": text})


def test_load_names_the_flag_and_the_variable_when_a_needed_setting_is_missing() -> None:
    """Either way to give it is named, with what it is for."""
    with pytest.raises(SettingsError, match=r"--instance-id \(FLEETHAND_INSTANCE_ID\): the name of this host"):
        load(Needy, flags={}, environ={})


def test_load_proposes_a_name_when_the_file_has_an_unknown_one(tmp_path: Path) -> None:
    """A slip of the pen is not skipped."""
    file = tmp_path / "fleethand.toml"
    file.write_text("place = 1\n")

    with pytest.raises(SettingsError, match="did you mean 'places'"):
        read(file=file)


@pytest.mark.parametrize("text", [None, "places = ", 'places = "many"'])
def test_load_names_the_file_when_it_cannot_be_used(tmp_path: Path, text: str | None) -> None:
    """A file that is missing, is no TOML or holds another kind of value is an error that names it."""
    file = tmp_path / "fleethand.toml"
    if text is not None:
        file.write_text(text)

    with pytest.raises(SettingsError, match=r"fleethand\.toml"):
        read(file=file)


def test_load_ignores_environment_variables_of_others() -> None:
    """Only our prefix counts, and a name that is no setting of this role is left alone."""
    assert Example() == read(environ={"PLACES": "1", "FLEETHAND_OTHER": "1", "REDIS_URL": "x"})


def test_show_masks_secrets_and_tells_origins() -> None:
    """What is shown can be pasted into a ticket."""
    settings, origins = load(
        Example, flags={}, environ={"FLEETHAND_REDIS_URL": "redis://:pw@host", "FLEETHAND_TAGS": "a=b"}
    )

    rows = {row.name: row for row in show(settings, origins)}

    assert (rows["redis_url"].value, rows["redis_url"].origin) == ("******", "FLEETHAND_REDIS_URL")
    assert (rows["tags"].value, rows["places"].value, rows["username"].value) == ("a=b", "16", "")
    assert rows["places"].help == "how many at once"
