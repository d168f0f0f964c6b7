"""From words on the command line to a command's content."""

import shlex

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.commands import CommandType
from fleethand_dispatcher.cli.words import TypeOption, content, join, type_of

SHELL, POWERSHELL, BAT = CommandType.SHELL, CommandType.POWERSHELL, CommandType.BAT


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["hostname"], "hostname"),
        (["echo", "hi"], "echo hi"),
        (["echo a; exit 3"], "echo a; exit 3"),
        (["sh", "-c", "exit 3"], "sh -c 'exit 3'"),
        (["echo", "$HOME", "*.log", "it's"], "echo '$HOME' '*.log' 'it'\"'\"'s'"),
        (["printf", ""], "printf ''"),
    ],
)
def test_join_means_what_a_user_expects(words: list[str], expected: str) -> None:
    """One word is a line of shell; several are a program and its arguments."""
    assert expected == join(words, SHELL)


@given(st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])), min_size=2, max_size=6))
def test_join_brings_arguments_back_unchanged(words: list[str]) -> None:
    """What a shell makes of the line is the words again."""
    assert words == shlex.split(join(words, SHELL))


def test_join_keeps_a_placeholder_out_of_single_quotes_when_it_becomes_a_variable() -> None:
    """A shell expands no variable in single quotes."""
    assert join(["echo", "hello {{who}}!"], SHELL, from_environment=True) == "echo 'hello '\"{{who}}\"'!'"
    assert join(["echo", "hello {{who}}!"], SHELL) == "echo 'hello {{who}}!'"


@pytest.mark.parametrize(
    ("kind", "words", "expected"),
    [
        (POWERSHELL, ["Get-Process", "-Name", "it's me"], "Get-Process -Name 'it''s me'"),
        (POWERSHELL, ["C:\\Program Files\\a.exe", "x"], "& 'C:\\Program Files\\a.exe' x"),
        (BAT, ["dir", "C:\\Program Files"], 'dir "C:\\Program Files"'),
        (BAT, ["echo", ""], 'echo ""'),
    ],
)
def test_join_quotes_as_the_other_shells_do(kind: CommandType, words: list[str], expected: str) -> None:
    """PowerShell doubles single quotes, cmd uses double ones."""
    assert expected == join(words, kind)


@pytest.mark.parametrize(
    ("file", "kind"),
    [("a.sh", SHELL), ("a.PS1", POWERSHELL), ("a.bat", BAT), ("a.cmd", BAT), ("-", SHELL), (None, SHELL)],
)
def test_type_of_goes_by_the_file_name(file: str | None, kind: CommandType) -> None:
    """A script's suffix tells its type."""
    assert kind is type_of(file)


@pytest.mark.parametrize("text", ["powershell", "PowerShell", "RunPowerShellScript", "runpowershellscript"])
def test_type_option_takes_long_and_short_names(text: str) -> None:
    """Nobody has to remember the API's spelling."""
    assert POWERSHELL is TypeOption().convert(text, None, None)


def test_type_option_names_what_is_allowed() -> None:
    """The message holds the value and the allowed ones."""
    with pytest.raises(click.UsageError, match=r"'perl' is not one of RunShellScript, .*shell, powershell, bat"):
        TypeOption().convert("perl", None, None)


def test_content_refuses_two_sources() -> None:
    """It must be clear what runs."""
    with pytest.raises(click.UsageError, match="not both"):
        content(["a"], "file", SHELL)


def test_content_refuses_a_missing_file() -> None:
    """A file that is not there is named."""
    with pytest.raises(click.UsageError, match=r"cannot read /nowhere: No such file"):
        content([], "/nowhere", SHELL)
