"""Events of an invocation as lines on the screen."""

from typing import Any

import pytest

from fake_dispatcher import AT, INVOKE_ID
from fleethand_dispatcher.cli.lines import LinePrinter
from fleethand_dispatcher.cli.live import LiveOutput
from fleethand_dispatcher.models import InvocationEvent


def event(kind: str, data: str = "", status: str = "Running", **fields: Any) -> InvocationEvent:
    """Return an event of one host."""
    known = {"invoke_id": INVOKE_ID, "instance_id": "a", "at": AT}
    return InvocationEvent(kind=kind, data=data, status=status, **known, **fields)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([event("output", "one\ntw"), event("output", "o\n")], "one\ntwo\n"),
        ([event("output", "no end"), event("status", status="Failed")], "no end\n"),
        ([event("output", "a\n"), event("output", "z\n", skipped_bytes=7)], "a\n\n… 7 bytes dropped …\nz\n"),
        (
            [event("output", "b\n"), event("output", "a\nb\n", again=True)],
            "b\n\n… live output got lost; all of it:\na\nb\n",
        ),
        ([event("output", "waits"), event("status")], ""),
        ([event("output", "of a run"), event("status", status="Scheduled", run_id="t-1.5")], "of a run\n"),
    ],
)
def test_live_output_shows_whole_lines_and_says_what_is_missing(
    events: list[InvocationEvent], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line is shown when it is whole, or when its host has ended."""
    live = LiveOutput(LinePrinter(prefix=False))
    for each in events:
        live.show(each)

    assert expected == capsys.readouterr().out
