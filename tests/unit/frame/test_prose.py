"""What the documents name exists, and what they must name is there."""

import dataclasses
import re
import sys
from pathlib import Path

import pytest

from fleethand_common.instance_errors import INSTANCE_ERRORS
from fleethand_common.settings import environment_name
from fleethand_dispatcher.api_errors import API_ERRORS
from fleethand_dispatcher.settings import Settings
from fleethand_worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[3]
PROSE = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if "reference" not in path.parts and not path.name.startswith(".")
)
NO_SETTINGS = {
    "FLEETHAND_DATA",  # where `fleethand up` keeps everything
    "FLEETHAND_CONFIG",
    "FLEETHAND_REDIS_PASSWORD",  # of compose.yaml
    "FLEETHAND_REDIS_BIND",
    "FLEETHAND_DASHBOARD_BIND",
    "FLEETHAND_REGISTRAR_BIND",
    "FLEETHAND_WORKERS",
    "FLEETHAND_ACTIVATION_CODE",  # a secret of one command
    "FLEETHAND_INVOCATION_ID",  # what a script finds
    "FLEETHAND_COMMAND_ID",
}


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_variables_in_documents_exist(page: Path) -> None:
    """A setting that was renamed is renamed in the documents too."""
    fields = [field.name for kind in (Settings, WorkerSettings) for field in dataclasses.fields(kind)]
    known = {environment_name(name) for name in fields} | NO_SETTINGS

    named = set(re.findall(r"\bFLEETHAND_[A-Z_]+[A-Z]\b", page.read_text()))

    assert not {name for name in named - known if not name.startswith("FLEETHAND_PARAM_")}


def test_every_error_code_of_an_instance_has_an_advice() -> None:
    """Whoever sees a code finds what to do."""
    text = (ROOT / "docs/how-to/troubleshoot.md").read_text()

    assert not [code for code in INSTANCE_ERRORS if f"| `{code}` |" not in text]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_error_codes_in_documents_exist(page: Path) -> None:
    """A code with a dot in it is one of the API's."""
    named = set(
        re.findall(r"`((?:Invalid|Missing|Cmd|Parameter|InstanceIds|Invocation)\w*\.[A-Z]\w+)`", page.read_text())
    )

    assert not named - set(API_ERRORS)


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_prose_has_one_sentence_per_line(page: Path) -> None:
    """Changes of a text show as changes of sentences; lists, tables and code are left out."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [
        line
        for line in text.splitlines()
        if line and not line.startswith(("|", "-", "#", "<", " ", "**")) and not line[0].isdigit()
    ]

    assert not [line for line in lines if re.search(r"[a-z`)]\. [A-Z]", line)]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_services_start_programs_that_exist(page: Path) -> None:
    """The units in the documents name programs that the package installs."""
    programs = re.findall(r"^ExecStart=\S*/bin/(\S+)", page.read_text(), re.MULTILINE)

    assert not [name for name in programs if not (Path(sys.executable).parent / name).exists()]


def test_every_threat_is_played_by_a_test_that_exists() -> None:
    """What the page on security promises is not a wish: each line of its table names its tests."""
    page = (ROOT / "docs/explanation/security.md").read_text()
    table = page.split("## Who can do what")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }

    assert not [row for row in rows if not re.search(r"`test_\w+`", row)]
    assert not [name for name in re.findall(r"`(test_\w+)`", page) if name not in there]
