"""README and docs are run: each page's console blocks, in order, as one session of a new user."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from documents import Step, fits, read
from processes import MARK, Programs, clean_environment

ROOT = Path(__file__).resolve().parents[2]
OWN_SERVER = "use-tls.md"  # test_tls.py runs it, on a server that speaks TLS
PAGES = sorted(path for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")) if "reference" not in path.parts)
RUNNABLE = [page for page in PAGES if read(page)[0] and page.name != OWN_SERVER]
STEP_TIMEOUT_S = 90


@pytest.fixture
def session(programs: Programs, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of one session; what it leaves running is stopped, then killed."""
    home = programs.folder / "home"
    home.mkdir(parents=True)
    environ = clean_environment(
        **{MARK: programs.mark},
        HOME=str(home),
        FLEETHAND_DATA=str(programs.folder / "data"),
        COLUMNS="100",
        LC_ALL="C.UTF-8",
    )
    yield environ
    if (programs.folder / "data").exists():
        subprocess.run(["fleethand", "down"], env=environ, cwd=home, capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.timeout(420)
def test_page_does_what_it_says(page: Path, session: dict[str, str]) -> None:
    """Every command of the page ends as the page says and prints what the page shows."""
    folder = Path(session["HOME"])
    for step in read(page)[0]:
        run_step(page, step, session, folder)


def run_step(page: Path, step: Step, environ: dict[str, str], folder: Path) -> None:
    """Run one command and compare; output goes to a file, as a command may leave a process that keeps a pipe open."""
    output = folder / ".output"
    with output.open("wb") as sink:
        run = subprocess.run(
            ["bash", "-c", step.command],
            env=environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            timeout=STEP_TIMEOUT_S,
            check=False,
        )
    printed = output.read_text(errors="replace")
    place = f"{page.relative_to(ROOT)}:{step.line}: $ {step.command}"
    assert run.returncode == step.exit_code, f"{place}\nended with {run.returncode} and printed:\n{printed}"
    assert fits(step.expected, printed), f"{place}\nexpected:\n{os.linesep.join(step.expected)}\nprinted:\n{printed}"


def test_every_block_that_is_not_run_says_why() -> None:
    """The list of what no test proves, so that it does not grow unseen."""
    skipped = [(str(page.relative_to(ROOT)), block.reason) for page in PAGES for block in read(page)[1]]

    assert all(len(reason) > 10 for _, reason in skipped), skipped
    assert len(skipped) <= NOT_RUN_MAX, skipped


NOT_RUN_MAX = 14
"""Raise it only for a block that cannot be run here: another machine, a container engine, root."""
