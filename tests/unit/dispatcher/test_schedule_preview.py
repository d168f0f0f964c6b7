"""What a schedule will do, before it does it."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from fleethand_dispatcher.schedules.frequency import parse_frequency
from fleethand_dispatcher.schedules.preview import Occurrence, preview
from fleethand_dispatcher.schedules.windows import parse_blackout

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")


def day(number: int, hour: int = 0) -> datetime:
    """Return an hour of a day of July."""
    return datetime(2026, 7, number, hour, tzinfo=UTC)


def test_preview_tells_the_next_times_in_order() -> None:
    """As many as are asked for, and fewer when the schedule ends."""
    frequency = parse_frequency("0 0 9 2-4 7 ? 2026 UTC", now=NOW)

    assert [day(2, 9), day(3, 9)] == [run.at for run in preview(frequency, count=2, after=NOW, created=NOW)]
    assert [day(2, 9), day(3, 9), day(4, 9)] == [run.at for run in preview(frequency, count=9, after=NOW, created=NOW)]


def test_preview_counts_a_rate_from_the_creation() -> None:
    """The grid does not move with the moment of asking."""
    frequency = parse_frequency("rate(7d)", now=NOW)

    assert [day(15, 12)] == [run.at for run in preview(frequency, count=1, after=day(10), created=NOW)]


def test_preview_parts_instances_by_their_zones_when_the_expression_names_none() -> None:
    """09:00 comes first in Tokyo, then in Berlin, and each time says for whom it is."""
    frequency = parse_frequency("0 0 9 * * ?", now=NOW)

    assert [
        Occurrence(at=day(2), zones=(TOKYO,), held_by=None),
        Occurrence(at=day(2, 7), zones=(BERLIN,), held_by=None),
        Occurrence(at=day(3), zones=(TOKYO,), held_by=None),
    ] == preview(frequency, count=3, after=NOW, created=NOW, zones=(BERLIN, TOKYO))


def test_preview_names_the_window_that_holds_a_run_back() -> None:
    """A run that is held back is shown, with its reason, and counts."""
    frequency = parse_frequency("0 0 9 * * ? UTC", now=NOW)
    blackout = parse_blackout(["FRI-SAT 08:00-10:00 UTC"])

    runs = preview(frequency, count=4, after=NOW, created=NOW, blackout=blackout)

    assert [None, *blackout.windows, *blackout.windows, None] == [run.held_by for run in runs]


def test_preview_parts_a_run_that_is_held_back_for_some_instances_only() -> None:
    """A window without a zone is at another time for each of them."""
    frequency = parse_frequency("0 0 7 * * ? UTC", now=NOW)
    blackout = parse_blackout(["THU 09:00-10:00"])

    assert [
        Occurrence(at=day(2, 7), zones=(BERLIN,), held_by=blackout.windows[0]),
        Occurrence(at=day(2, 7), zones=(TOKYO,), held_by=None),
    ] == preview(frequency, count=1, after=NOW, created=NOW, zones=(BERLIN, TOKYO), blackout=blackout)


def test_preview_is_in_utc_when_no_instance_is_known_yet() -> None:
    """A schedule for a tag that nobody has can be looked at too."""
    frequency = parse_frequency("0 0 9 * * ?", now=NOW)

    assert [Occurrence(at=day(2, 9), zones=(UTC,), held_by=None)] == preview(
        frequency, count=1, after=NOW, created=NOW, zones=()
    )
