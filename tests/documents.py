"""Documents as tests: the console blocks of a page are run as one session, and their output is compared.

A block is run if it is marked ```console. A line that starts with `$ ` is a command, `> ` goes on with it, and the
lines after it are what it prints; `…` stands for anything, also for several lines. Without any, nothing is compared.
A command whose first output line is `(exit N)` ends with that code; otherwise it ends with 0. A block under
`<!-- not run: reason -->` is not run, and counted. Blocks marked ```text or otherwise are not looked at.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(
    r"(?:<!--\s*not run:\s*(?P<reason>.*?)\s*-->\s*\n)?^[ ]*```(?P<kind>\w+)\n(?P<body>.*?)^[ ]*```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_EXIT = re.compile(r"\(exit (\d+)\)")
ANYTHING = "…"


@dataclass
class Step:
    """A command, and what it prints."""

    line: int
    command: str
    expected: list[str] = field(default_factory=list)
    exit_code: int = 0


@dataclass
class Skipped:
    """A block that is not run."""

    line: int
    reason: str


def read(page: Path) -> tuple[list[Step], list[Skipped]]:
    """Return the commands of a page, and its blocks that are not run."""
    text = page.read_text()
    steps: list[Step] = []
    skipped: list[Skipped] = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("body")) + 1
        if match["kind"] in ("console", "bash", "sh", "shell"):
            if match["reason"]:
                skipped.append(Skipped(line, match["reason"]))
            elif match["kind"] == "console":
                steps.extend(_steps(match["body"], line))
            else:
                raise AssertionError(f"{page.name}:{line}: mark it ```console and start commands with `$ `")
    return steps, skipped


def _steps(body: str, line: int) -> Iterator[Step]:
    step: Step | None = None
    for number, text in enumerate(body.splitlines(), line):
        stripped = text.strip() if text.lstrip().startswith(("$ ", "> ")) else text.rstrip()
        if stripped.startswith("$ "):
            if step is not None:
                yield step
            step = Step(number, stripped.removeprefix("$ "))
        elif step is None:
            raise AssertionError(f"line {number}: a console block starts with a command: `$ …`")
        elif stripped.startswith("> ") and not step.expected:
            step.command += "\n" + stripped.removeprefix("> ")
        elif not step.expected and (matched := _EXIT.fullmatch(stripped)):
            step.exit_code = int(matched[1])
        else:
            step.expected.append(stripped)
    if step is not None:
        yield step


def fits(expected: list[str], actual: str) -> bool:
    """Tell whether a command's output is what the page says; space at line ends and around does not count."""
    wanted = "\n".join(expected).strip()
    if not wanted:
        return True
    pattern = ".*".join(re.escape(part) for part in wanted.split(ANYTHING))
    found = "\n".join(line.rstrip() for line in actual.strip().splitlines())
    return re.fullmatch(pattern, found, re.DOTALL) is not None
