"""The line that seals reports on their way up."""

import msgspec
import pytest

from fleethand_common import sealing
from fleethand_common.letters import SealedReport
from fleethand_worker.sealed_line import SealedLine


class Line:
    """A line that keeps what it was given."""

    def __init__(self, *, is_up: bool) -> None:
        self.is_up = is_up
        self.pushed: list[bytes] = []

    def push(self, reports: list[bytes]) -> bool:
        """See `Line` of the reporter."""
        self.pushed += reports
        return self.is_up


@pytest.mark.parametrize("is_up", [True, False])
def test_reports_are_sealed_in_their_order_and_the_lines_answer_is_passed_on(*, is_up: bool) -> None:
    """The control plane opens them with the same key; nothing of them is readable on the way."""
    line, key = Line(is_up=is_up), sealing.new_key()

    assert is_up == SealedLine(line, "host-1", key).push([b"first report", b"second report"])

    sealed = [msgspec.json.decode(pushed, type=SealedReport) for pushed in line.pushed]
    assert ["host-1"] * 2 == [report.instance_id for report in sealed]
    assert [b"first report", b"second report"] == [sealing.open_sealed(report.sealed, key) for report in sealed]
    assert not any(b"report" in report.sealed for report in sealed)
