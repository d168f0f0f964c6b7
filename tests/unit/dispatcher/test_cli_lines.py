"""Live lines of many hosts."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_dispatcher.cli import colour
from fleethand_dispatcher.cli.lines import LinePrinter, cleaned


def test_partial_lines_wait_for_their_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Two hosts never share a line."""
    printer = LinePrinter()
    printer.feed("a", "one\ntw")
    printer.feed("b", "other\n")
    printer.feed("a", "o\nthree")
    printer.finish("a")
    printer.finish("b")
    assert capsys.readouterr().out == "a| one\nb| other\na| two\na| three\n"


def test_carriage_return_before_newline_goes_even_in_two_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    """Windows ends its lines with both."""
    printer = LinePrinter()
    printer.feed("a", "one\r")
    printer.feed("a", "\ntwo\r\n")
    assert capsys.readouterr().out == "a| one\na| two\n"


def test_empty_lines_stay(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty line is a line."""
    printer = LinePrinter()
    printer.feed("a", "\n\nx\n")
    assert capsys.readouterr().out == "a| \na| \na| x\n"


def test_a_line_without_end_costs_bounded_memory(capsys: pytest.CaptureFixture[str]) -> None:
    """It is printed in pieces."""
    printer = LinePrinter()
    printer.feed("a", "x" * 20_000)
    assert [len(line) for line in capsys.readouterr().out.splitlines()] == [8195, 8195]
    printer.finish_all()
    assert capsys.readouterr().out == "a| " + "x" * (20_000 - 2 * 8192) + "\n"


def test_no_prefix_prints_bare_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """For one host whose output goes on to another program."""
    printer = LinePrinter(prefix=False)
    printer.feed("a", "x\n")
    assert capsys.readouterr().out == "x\n"


@given(st.text(st.sampled_from("ab\n\r"), max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_pieces_do_not_matter(text: str, cuts: list[int]) -> None:
    """However output is cut, the same lines are printed."""
    assert _printed([text]) == _printed(
        [text[i:j] for i, j in zip([0, *sorted(cuts)], [*sorted(cuts), 60], strict=True)]
    )


def _printed(pieces: list[str]) -> str:
    written: list[str] = []
    printer = LinePrinter()
    printer._write = lambda instance_id, lines: written.extend(lines)  # type: ignore[method-assign]
    for piece in pieces:
        printer.feed("a", piece)
    printer.finish_all()
    return "\n".join(written)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain\ttext", "plain\ttext"),
        ("10%\r50%\r100%", "100%"),
        ("done\r", "done"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2Jgone", "[2Jgone"),
        ("\x1b]0;title\x07x", "]0;titlex"),
        ("a\x9b2Jb", "a2Jb"),
    ],
)
def test_cleaned_lets_colour_through_and_nothing_that_moves_the_cursor(line: str, shown: str) -> None:
    """A host must not be able to change the operator's terminal."""
    assert shown == cleaned(line)


def test_colour_needs_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and a dumb terminal mean none."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colour.wanted(sys.stdout)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour.wanted(sys.stdout)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not colour.wanted(sys.stdout)


def test_prefix_has_its_colour_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same host has the same colour; a host's own colour ends with its line."""
    monkeypatch.setattr(colour, "wanted", lambda stream: True)
    monkeypatch.setattr(colour, "is_terminal", lambda stream: True)
    printer = LinePrinter()
    printer.feed("a", "\x1b[31mred\nplain\n")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("a|\x1b[0m \x1b[31mred\x1b[0m")
    assert second == first.split("a|")[0] + "a|\x1b[0m plain"
