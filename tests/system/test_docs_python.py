"""The Python programs in README and docs are run against a stack of three workers, and their output is compared."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from documents import fits
from processes import BIN, MARK, Programs, clean_environment

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = re.compile(r"^```python\n(?P<code>.*?)^```$(?:\n+^```text\n(?P<output>.*?)^```$)?", re.MULTILINE | re.DOTALL)
PAGES = sorted(path for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")) if "reference" not in path.parts)
EXAMPLES = [
    pytest.param(match["code"], match["output"], id=f"{page.relative_to(ROOT)}:{number}")
    for page in PAGES
    for number, match in enumerate(PROGRAM.finditer(page.read_text()), 1)
]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a reader who has run `fleethand up` and set FLEETHAND_REDIS_URL."""
    folder = tmp_path_factory.mktemp("python")
    programs = Programs(folder / "programs")
    environ = clean_environment(**{MARK: programs.mark}, HOME=str(folder), XDG_DATA_HOME=str(folder / "share"))
    try:
        run(BIN / "fleethand", "up", "--workers", "3", "--no-dashboard", environ=environ)
        ask = "from fleethand_dispatcher.stack.data_dir import default_data_dir, resolve_redis_url as url"
        url = run(sys.executable, "-c", f"{ask}; print(url(default_data_dir()))", environ=environ)
        yield {**environ, "FLEETHAND_REDIS_URL": url.strip()}
        run(BIN / "fleethand", "down", environ=environ)
    finally:
        programs.kill_all()


def run(*argv: object, environ: dict[str, str]) -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(
        [str(part) for part in argv],
        env=environ,
        cwd=environ["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(("code", "output"), EXAMPLES)
@pytest.mark.timeout(120)
def test_program_prints_what_the_page_shows(code: str, output: str | None, environ: dict[str, str]) -> None:
    """A program in the documents is whole: it runs as it stands, and prints the block of text after it."""
    printed = run(sys.executable, "-c", code, environ=environ)

    assert fits((output or "").splitlines(), printed), f"expected:\n{output}\nprinted:\n{printed}"
