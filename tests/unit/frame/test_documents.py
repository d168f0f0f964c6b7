"""How pages are read that are run as tests."""

from pathlib import Path

import pytest

from documents import Skipped, Step, fits, read

PAGE = """# Page

```console
$ echo one \\
> two
one two
$ false
(exit 1)
```

```text
$ not run
```

<!-- not run: needs a fleet -->
```console
$ reboot
```
"""


def test_page_is_read_as_commands_and_what_they_print(tmp_path: Path) -> None:
    """Commands, their continuation, exit codes and blocks that are not run are told apart."""
    page = tmp_path / "page.md"
    page.write_text(PAGE)

    steps, skipped = read(page)

    assert steps == [Step(4, "echo one \\\ntwo", ["one two"]), Step(7, "false", [], 1)]
    assert skipped == [Skipped(17, "needs a fleet")]


def test_page_is_refused_when_a_shell_block_is_not_marked(tmp_path: Path) -> None:
    """No block of commands goes unrun by being called otherwise."""
    page = tmp_path / "page.md"
    page.write_text("```bash\nreboot\n```\n")

    with pytest.raises(AssertionError, match="console"):
        read(page)


@pytest.mark.parametrize(
    ("expected", "actual", "result"),
    [
        ([], "anything", True),
        (["a"], "a\n", True),
        (["a"], "b\n", False),
        (["id t-… done"], "id t-123 done", True),
        (["first", "…", "last"], "first\n2\n3\nlast  \n", True),
        (["first", "…", "last"], "first\n2\n", False),
        (["a.c"], "abc", False),
    ],
)
def test_output_fits_when_only_the_dots_differ(expected: list[str], actual: str, result: bool) -> None:
    """`…` stands for anything, and nothing else does."""
    assert result == fits(expected, actual)
