"""What `--help` says, of every command there is."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import fleethand_dispatcher
from fleethand_dispatcher.cli.app import root


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield (*path, name), found
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))


OTHERS = {"up", "down", "status", "demo", "dashboard"}
OURS = [pytest.param(*row, id=" ".join(row[0])) for row in commands(root) if row[0][0] not in OTHERS]


@pytest.mark.parametrize(("path", "command"), OURS)
def test_every_help_has_an_example_and_the_server_options(path: tuple[str, ...], command: click.Command) -> None:
    """An example starts with the command's own words; each option says what it is for."""
    shown = CliRunner().invoke(root, [*path, "--help"])
    assert shown.exit_code == 0
    assert "Example:" in shown.output
    assert f"fleethand {' '.join(path)}" in shown.output.split("Example:")[1]
    for option in ("--redis-url", "--data", "--config"):
        assert option in shown.output
    for param in command.params:
        assert not isinstance(param, click.Option) or param.help, param.name


def test_every_promised_command_is_there() -> None:
    """Issue 2, section 5, and issue 4."""
    known = {" ".join(path) for path, _ in commands(root)}
    promised = {"run", "invoke", "results", "explain", "render", "targets", "doctor", "config show", "aggregator"}
    promised |= {f"command {verb}" for verb in ("create", "list", "show", "modify", "clone", "delete")}
    promised |= {f"invocation {verb}" for verb in ("list", "show", "follow", "stop", "retry")}
    promised |= {f"schedule {verb}" for verb in ("list", "show", "preview", "pause", "resume", "stop")}
    promised |= {"instance list", "instance show", "report dead"}
    assert promised <= known


def test_root_help_is_ordered_by_what_an_operator_wants() -> None:
    """Sections, an example, and how to get completion."""
    shown = CliRunner().invoke(root, ["--help"])
    for text in (
        "Run on the fleet:",
        "Look at what happened:",
        "Operate:",
        "fleethand run --all",
        "_FLEETHAND_COMPLETE",
    ):
        assert text in shown.output


def test_every_read_takes_json() -> None:
    """`--json` on every read."""
    silent = {"aggregator", "command delete", "dashboard", "demo", "down", "instance provision", "registrar"}
    silent |= {f"principal {verb}" for verb in ("disable", "enable", "delete")}
    silent |= {f"policy {verb}" for verb in ("create", "delete", "attach", "detach")}
    silent |= {"audit export", "keys create", "user delete", "schedule pause", "schedule resume"}
    for path, command in commands(root):
        if " ".join(path) not in silent and not isinstance(command, click.Group):
            assert any("--json" in param.opts for param in command.params), path


def test_version() -> None:
    """`fleethand --version`."""
    assert CliRunner().invoke(root, ["--version"]).output.startswith("fleethand, version 0.")


HEAVY = ("pydantic", "redis", "kombu", "celery", "rich", "psutil", "msgspec", "asyncio")
PROBE = """
import sys, types
package = types.ModuleType("fleethand_dispatcher")  # the package's own imports are not the command line's
package.__path__ = [{folder!r}]
sys.modules["fleethand_dispatcher"] = package
from click.testing import CliRunner
from fleethand_dispatcher.cli.app import root
before = set(sys.modules)  # what the test runner of click brings does not count
for words in ({commands!r}):
    assert CliRunner().invoke(root, [*words, "--help"]).exit_code == 0, words
print(*[name for name in {heavy!r} if name in set(sys.modules) - before])
"""


def test_help_imports_nothing_heavy() -> None:
    """What a command needs is imported when it runs: help and completion answer at once."""
    folder = str(Path(fleethand_dispatcher.__file__).parent)
    code = PROBE.format(folder=folder, commands=[param.values[0] for param in OURS], heavy=HEAVY)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("", "")
