"""The page of schedules says what the code does: each of its examples is asked for its times, or for its code."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleethand_common import limits
from fleethand_common.errors import RequestError
from fleethand_dispatcher.api_errors import API_ERRORS
from fleethand_dispatcher.schedules.cron_fields import KINDS
from fleethand_dispatcher.schedules.frequency import parse_frequency
from fleethand_dispatcher.schedules.windows import parse_window

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/schedules.md").read_text()
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def rows(*head: str) -> list[list[str]]:
    """Return the rows of all tables of the page whose first columns are called *head*, without the marks of code."""
    found: list[list[str]] = []
    inside = False
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif tuple(cells[: len(head)]) == head:
            inside = True
        elif inside and not set(line) <= set("|-"):
            found.append([cell.strip("`") for cell in cells])
    assert found, f"no table with the columns {head}"
    return found


def moment(text: str) -> datetime:
    """Read a time of the page."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def next_runs(text: str, after: datetime, count: int, *, in_utc: bool) -> list[str]:
    """Return the next times of an expression, on its own wall clock or in UTC."""
    frequency = parse_frequency(text, now=after)
    zone = UTC if in_utc else frequency.zone or UTC
    run = frequency.first_run(created=after)
    found: list[str] = []
    while run and len(found) < count:
        found.append(f"{run.astimezone(zone):%Y-%m-%d %H:%M:%S}")
        run = frequency.next_after(run, created=after)
    return found


@pytest.mark.parametrize("row", rows("expression", "next runs"), ids=lambda row: row[0])
def test_next_runs_on_the_page_are_those_of_the_code(row: list[str]) -> None:
    """As many as the page names, from the moment that it names."""
    expected = row[1].split(", ")

    assert expected == next_runs(row[0], NOW, len(expected), in_utc=False)


@pytest.mark.parametrize("row", rows("expression", "after", "next runs in UTC"), ids=lambda row: " ".join(row[:2]))
def test_clock_changes_on_the_page_are_those_of_the_code(row: list[str]) -> None:
    """Each with a moment of its own."""
    expected = row[2].split(", ")

    assert expected == next_runs(row[0], moment(row[1]), len(expected), in_utc=True)


@pytest.mark.parametrize("row", rows("refused", "code"), ids=lambda row: row[0])
def test_codes_on_the_page_are_those_of_the_code(row: list[str]) -> None:
    """Each example is refused with the code beside it."""
    with pytest.raises(RequestError) as refused:
        parse_frequency(row[0], now=NOW)

    assert row[1] == refused.value.code


@pytest.mark.parametrize("row", rows("window", "covers", "does not cover"), ids=lambda row: row[0])
def test_windows_on_the_page_cover_what_they_say(row: list[str]) -> None:
    """One second inside, one outside."""
    window = parse_window(row[0])

    assert window.covers(moment(row[1]))
    assert not window.covers(moment(row[2]))


def test_page_names_every_code_and_field_and_limit() -> None:
    """Nothing that can be refused is missing, and no number is out of date."""
    finer = {code for code, error in API_ERRORS.items() if error.api_code}

    assert finer <= {row[1] for row in rows("refused", "code")}
    assert [(kind.name, f"{kind.low}-{kind.high}") for kind in KINDS] == [
        (name, re.match(r"[0-9]+-[0-9]+", values)[0])  # type: ignore[index]
        for name, values, *_ in rows("field", "values")
    ]
    assert [
        f"{limits.RATE_MIN_S} s to {limits.RATE_MAX_S // 86_400} days, and longer than the timeout",
        f"at least {limits.CRON_GAP_MIN_S} s, and not less than the timeout",
        f"up to {limits.CRON_YEAR_MAX}; it must have a run to come",
    ] == [row[1] for row in rows("what", "limit")]


def test_message_on_the_page_is_that_of_the_code() -> None:
    """Word for word."""
    with pytest.raises(RequestError) as refused:
        parse_frequency("0 0 12 * * 8", now=NOW)

    assert str(refused.value) in PAGE
