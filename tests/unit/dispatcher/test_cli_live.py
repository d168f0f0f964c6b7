"""Live output completed by the result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_dispatcher import result
from fleethand_common.limits import OUTPUT_HEAD_BYTES
from fleethand_dispatcher.cli.lines import LinePrinter
from fleethand_dispatcher.cli.live import LiveOutput


def live() -> LiveOutput:
    """Return a live output with bare lines."""
    return LiveOutput(LinePrinter(prefix=False))


@given(st.text(st.sampled_from("aé€😀\n"), max_size=40), st.integers(0, 40))
def test_whatever_was_seen_live_the_whole_is_shown_once(text: str, seen: int) -> None:
    """The result adds what is missing and nothing more."""
    shown: list[str] = []
    printer = LinePrinter()
    printer.feed = lambda instance_id, data: shown.append(data)  # type: ignore[method-assign]
    output = LiveOutput(printer)
    output.feed("a", text[:seen])
    output.complete(result("a", output=text))
    output.complete(result("a", output=text))
    assert "".join(shown) == text


def test_a_lost_piece_is_told_and_the_whole_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Live pieces are best effort."""
    output = live()
    output.feed("a", "two\n")
    output.complete(result("a", output="one\ntwo\n"))
    assert capsys.readouterr().out == "two\n\n… live output got lost; all of it:\none\ntwo\n"


@pytest.mark.parametrize("seen", [0, 100, OUTPUT_HEAD_BYTES, OUTPUT_HEAD_BYTES + 300, OUTPUT_HEAD_BYTES + 1500])
def test_the_gap_in_a_flood_is_told(seen: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Head, what is missing, tail: 1,000 bytes were dropped, of which live pieces may have shown some."""
    whole = "h" * OUTPUT_HEAD_BYTES + "x" * 1000 + "t" * 2000
    kept = "h" * OUTPUT_HEAD_BYTES + "t" * 2000
    output = live()
    output.feed("a", whole[:seen])
    output.complete(result("a", output=kept, dropped=1000))
    lines = capsys.readouterr().out
    missing = min(1000, max(0, OUTPUT_HEAD_BYTES + 1000 - seen))
    assert (f"… {missing} bytes dropped …" in lines) == (missing > 0)
    text = lines.replace(f"\n… {missing} bytes dropped …\n", "").replace("\n", "")
    assert text == whole[: max(seen, OUTPUT_HEAD_BYTES)] + whole[max(seen, OUTPUT_HEAD_BYTES + 1000) :]
