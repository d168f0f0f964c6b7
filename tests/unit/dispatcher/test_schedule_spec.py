"""The specification's chapter on schedules, rule by rule in its order, beside what this implementation answers.

Where the two differ on purpose, the reference page says so; that is tested here too.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from fleethand_common.errors import RequestError
from fleethand_dispatcher.api_errors import API_ERRORS
from fleethand_dispatcher.schedules.frequency import parse_frequency

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/schedules.md").read_text()
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday
FIRST = 2


class Rule(NamedTuple):
    """A rule, an expression that shows it, and the answer: the first runs in UTC, or a code and what it says."""

    rule: str
    text: str
    answer: tuple[str, ...]
    timeout_s: int | None = None
    differs: bool = False
    """Whether the original answers otherwise; the page must have the expression then."""


RATE = [
    Rule("units are s, m, h and d, in any case", "RATE(90S)", ("26-07-01 12:01:30", "26-07-01 12:03:00")),
    Rule("the number and its unit may be apart", "rate (5 m)", ("26-07-01 12:05:00", "26-07-01 12:10:00")),
    Rule("spaces anywhere in the brackets", "rate( 5 m )", ("26-07-01 12:05:00", "26-07-01 12:10:00"), differs=True),
    Rule("no other unit", "rate(5x)", ("InvalidRateExpression", "'rate(5x)'")),
    Rule("it is the whole text", "rate(5m) UTC", ("InvalidRateExpression", "rate(5m)")),
    Rule("n is above 0", "rate(00h)", ("InvalidRateExpression", "greater than 0")),
    Rule("at least 60 s", "rate(59s)", ("InvalidParam.Frequency", "at least 60 seconds")),
    Rule("60 s is enough", "rate(60s)", ("26-07-01 12:01:00", "26-07-01 12:02:00"), 59),
    Rule(
        "more than the timeout", "rate(1m)", ("InvalidParam.Frequency", "longer than the timeout of 60 s; change"), 60
    ),
    Rule("7 days are allowed", "rate(168h)", ("26-07-08 12:00:00", "26-07-15 12:00:00"), 86_400),
    Rule("one second more is not", "rate(604801s)", ("RateFrequencyTooLarge", "at most 7 days")),
    Rule("nor is what the agent takes", "rate(999d)", ("RateFrequencyTooLarge", "at most 7 days"), differs=True),
]
AT = [
    Rule("with a zone of the database", "at(2027-06-06 13:15:30 Asia/Shanghai)", ("27-06-06 05:15:30",)),
    Rule("with an offset", "at(2027-06-06 13:15:30 GMT-7:00)", ("27-06-06 20:15:30",)),
    Rule("in UTC", "at(2027-06-06 13:15:30 UTC)", ("27-06-06 13:15:30",)),
    Rule("without a zone: UTC", "at(2027-06-06 13:15:30)", ("27-06-06 13:15:30",)),
    Rule("not as the server hands it to agents", "at(2027-06-06T05:15:30)", ("InvalidAtExpression", "yyyy-MM-dd HH")),
    Rule("this very second still runs", "at(2026-07-01 20:00:00 GMT+8:00)", ("26-07-01 12:00:00",)),
    Rule("the second before does not", "at(2026-07-01 19:59:59 GMT+8:00)", ("AtExpressionExpired", "a time to come")),
    Rule("the year 1 is no trouble", "at(0001-01-01 00:00:00)", ("AtExpressionExpired", "is 0001-01-01 00:00:00 UTC")),
    Rule("what is no time", "at(2027-06-06 13:15:60)", ("InvalidAtExpression", "from 00:00:00 to 23:59:59")),
    Rule("a timeout does not matter", "at(2027-06-06 13:15:30)", ("27-06-06 13:15:30",), 86_400),
]
FIELDS = [
    Rule("6 fields", "0 0 12 * * 1", ("26-07-06 12:00:00", "26-07-13 12:00:00")),
    Rule("7 with a year", "0 0 12 * * 1 2026", ("26-07-06 12:00:00", "26-07-13 12:00:00")),
    Rule("7 with a zone", "0 0 12 * * 1 UTC", ("26-07-06 12:00:00", "26-07-13 12:00:00")),
    Rule("8", "0 0 12 * * 1 2026 UTC", ("26-07-06 12:00:00", "26-07-13 12:00:00")),
    Rule("any white space", " 0\t0  12\n* * 1 ", ("26-07-06 12:00:00", "26-07-13 12:00:00")),
    Rule("not 5", "30 9 * * 0", ("BadCronExpression", "Sunday is 7: write 0 30 9 * * 7.")),
    Rule("not 1", "noon", ("BadCronExpression", "1 field was found. Write 6 to 8 fields")),
    Rule("nor a misspelled word", "rates(5m)", ("BadCronExpression", "or rate(5m), or at(2027-01-01 09:00:00).")),
    Rule("0 is no Sunday", "0 0 9 ? * 0", ("BadCronExpression", "7 is Sunday"), differs=True),
    Rule("one leading zero", "00 00 09 01 01 ?", ("27-01-01 09:00:00", "28-01-01 09:00:00")),
    Rule("not two", "0 0 009 * * ?", ("BadCronExpression", "Hour (field 3, character 5): cannot read '009'")),
    Rule("digits are ASCII's", "0 0 \uff19 * * ?", ("BadCronExpression", "Hour (field 3, character 5)")),
    Rule("years from 1970 on", "0 0 0 1 1 ? 1969", ("BadCronExpression", "1969 is out of 1970-2099")),
    Rule("years that are over", "0 0 0 1 1 ? 1970-2025", ("CronExpressionExpired", "look at day, month and year")),
    Rule("until 2099", "0 0 0 1 1 ? 2099", ("99-01-01 00:00:00",)),
    Rule("not 2100", "0 0 0 1 1 ? 2027-2100", ("BadCronExpression", "2100 is out of 1970-2099")),
]
SPECIALS = [
    Rule("a/b goes on to the maximum", "0 0 9 1 7/2 ?", ("26-09-01 09:00:00", "26-11-01 09:00:00")),
    Rule("also of years", "0 0 0 1 1 ? 2022/2", ("28-01-01 00:00:00", "30-01-01 00:00:00")),
    Rule(
        "a step is shorter than its field", "0 */60 * * * ?", ("BadCronExpression", "'60' is out of 1-59"), differs=True
    ),
    Rule("the longest step", "0 0 9 ? * */6", ("26-07-05 09:00:00", "26-07-06 09:00:00")),
    Rule("a range may run over the end", "0 0 9 ? * SAT-MON", ("26-07-04 09:00:00", "26-07-05 09:00:00"), differs=True),
    Rule("? in one of the day fields", "0 0 9 ? * ?", ("BadCronExpression", "write * in one of them"), differs=True),
    Rule("? is nothing else", "0 0 9 ?/2 * ?", ("BadCronExpression", "Day of month (field 4, character 7): cannot")),
    Rule("a lone L is Sunday", "0 0 9 ? * L", ("26-07-05 09:00:00", "26-07-12 09:00:00"), differs=True),
    Rule("L in a list", "0 0 9 ? * 5L,6L", ("26-07-25 09:00:00", "26-07-31 09:00:00"), differs=True),
    Rule("L in no range", "0 0 9 1-L * ?", ("BadCronExpression", "cannot read '1-L'")),
    Rule("nor with a day before", "0 0 9 L-3 * ?", ("BadCronExpression", "L is the last day")),
    Rule("5W with the 5th a Sunday", "0 0 9 5W 7 ? 2026", ("26-07-06 09:00:00",)),
    Rule("5W with the 5th a Saturday", "0 0 9 5W 9 ? 2026", ("26-09-04 09:00:00",)),
    Rule("inside the month: a Saturday the 1st", "0 0 9 1W 8 ? 2026", ("26-08-03 09:00:00",)),
    Rule("a Sunday the 1st", "0 0 9 1W 11 ? 2026", ("26-11-02 09:00:00",)),
    Rule("a Sunday the 31st", "0 0 9 31W 1 ? 2027", ("27-01-29 09:00:00",)),
    Rule("nW and LW in a list", "0 0 9 15W,LW 8 ? 2026", ("26-08-14 09:00:00", "26-08-31 09:00:00"), differs=True),
    Rule("nW in no range", "0 0 9 1-5W * ?", ("BadCronExpression", "cannot read '1-5W'")),
    Rule("n#k", "0 0 9 ? * 4#2", ("26-07-09 09:00:00", "26-08-13 09:00:00")),
    Rule(
        "k goes to 5", "0 0 9 ? * 4#6", ("BadCronExpression", "Day of week (field 6, character 11): '6' after # is out")
    ),
    Rule("n is needed", "0 0 9 ? * #5", ("BadCronExpression", "cannot read '#5'")),
    Rule("both day fields: either", "0 0 9 30 2 MON", ("27-02-01 09:00:00", "27-02-08 09:00:00")),
    Rule("29 February", "0 0 9 29 2 ? 2027-2031", ("28-02-29 09:00:00",)),
    Rule("30 February", "0 0 9 30 2 ?", ("CronExpressionExpired", "look at day, month and year")),
]
ZONES = [
    Rule("a list of years is one", "0 0 9 1 1 ? 2027,2029", ("27-01-01 09:00:00", "29-01-01 09:00:00")),
    Rule("every second year too", "0 0 9 1 1 ? */2", ("28-01-01 09:00:00", "30-01-01 09:00:00")),
    Rule("and ?", "0 0 9 1 1 ? ?", ("27-01-01 09:00:00", "28-01-01 09:00:00")),
    Rule("a number is a year", "0 0 9 * * ? 2100", ("BadCronExpression", "Year (field 7, character 13)"), differs=True),
    Rule("with / from the database", "0 0 9 * * ? Etc/GMT+8", ("26-07-01 17:00:00", "26-07-02 17:00:00")),
    Rule("no such entry", "0 0 9 * * ? Asia/Shanghia", ("TimezoneInformationCorrupt", "Did you mean Asia/Shanghai?")),
    Rule("case matters", "0 0 9 * * ? ASIA/SHANGHAI", ("TimezoneInformationCorrupt", "Did you mean Asia/Shanghai?")),
    Rule("GMT and an offset", "0 0 9 * * ? GMT+14:59", ("26-07-01 18:01:00", "26-07-02 18:01:00")),
    Rule("the other end", "0 0 9 * * ? GMT-12:59", ("26-07-01 21:59:00", "26-07-02 21:59:00")),
    Rule("beyond it", "0 0 9 * * ? GMT-13:00", ("InvalidGMTOffsetHourForTimezone", "beyond GMT-12"), differs=True),
    Rule("beyond both", "0 0 9 * * ? GMT+15:00", ("InvalidGMTOffsetHourForTimezone", "beyond GMT+14"), differs=True),
    Rule("a minute", "0 0 9 * * ? GMT+8:60", ("InvalidGMTOffsetMinuteForTimezone", "out of 00-59"), differs=True),
    Rule("no leading zero", "0 0 9 * * ? GMT+08:00", ("InvalidGMTOffsetForTimezone", "no zero before the hour")),
    Rule("only after GMT", "0 0 9 * * ? UTC+8:00", ("InvalidGMTOffsetForTimezone", "'UTC+8:00'")),
    Rule("in capitals", "0 0 9 * * ? gmt+8:00", ("InvalidGMTOffsetForTimezone", "'gmt+8:00'")),
    Rule("UTC", "0 0 9 * * ? utc", ("26-07-02 09:00:00", "26-07-03 09:00:00"), differs=True),
    Rule("anything else", "0 0 9 * * ? EST5EDT", ("TimezoneInformationCorrupt", "'EST5EDT'")),
]
GAPS = [
    Rule("10 s", "0,10 0 9 * * ?", ("26-07-02 09:00:00", "26-07-02 09:00:10"), 10),
    Rule("not 9", "0,9 0 9 * * ?", ("InvalidParam.Frequency", "9 s apart; at least 10 s"), 5),
    Rule("not over the minute", "0/51 * * * * ?", ("InvalidParam.Frequency", "9 s apart; at least 10 s"), 5),
    Rule("the timeout", "0 * * * * ?", ("26-07-01 12:01:00", "26-07-01 12:02:00"), 60),
    Rule(
        "not less", "0 * * * * ?", ("InvalidParam.Frequency", "60 s apart, which is less than the timeout of 61 s"), 61
    ),
    Rule("28 February and the day after", "0 0 5,18 1,28 * ?", ("InvalidParam.Frequency", "39600 s apart"), 39_601),
    Rule("a day is enough for any timeout", "0 0 9 * * ?", ("26-07-02 09:00:00", "26-07-03 09:00:00"), 86_400),
]
RULES = [*RATE, *AT, *FIELDS, *SPECIALS, *ZONES, *GAPS]
CODES_OF_5_8 = [
    "BadCronExpression",
    "CronExpressionExpired",
    "TimezoneInformationCorrupt",
    "InvalidGMTOffsetForTimezone",
    "InvalidGMTOffsetHourForTimezone",
    "InvalidGMTOffsetMinuteForTimezone",
    "InvalidRateExpression",
    "RateFrequencyTooLarge",
    "InvalidAtExpression",
    "AtExpressionExpired",
]


def first_runs(text: str, timeout_s: int | None) -> tuple[str, ...]:
    """Return the first times of an expression in UTC, the year with two digits."""
    frequency = parse_frequency(text, now=NOW, timeout_s=timeout_s)
    found: list[str] = []
    run = frequency.first_run(created=NOW)
    while run and len(found) < FIRST:
        found.append(f"{run:%y-%m-%d %H:%M:%S}")
        run = frequency.next_after(run, created=NOW)
    return tuple(found)


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.answer[0] not in API_ERRORS], ids=lambda rule: rule.rule
)
def test_expression_runs_when_the_specification_says(rule: Rule) -> None:
    """Sections 6.1 to 6.3: the first two runs, or the only one."""
    assert rule.answer == first_runs(rule.text, rule.timeout_s)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.answer[0] in API_ERRORS], ids=lambda rule: rule.rule)
def test_expression_is_refused_where_the_specification_says(rule: Rule) -> None:
    """With the code of section 5.8, and a message that points at the mistake."""
    with pytest.raises(RequestError) as refused:
        first_runs(rule.text, rule.timeout_s)

    code, said = rule.answer
    assert code == refused.value.code
    assert said in str(refused.value)


@pytest.mark.parametrize("code", CODES_OF_5_8)
def test_every_code_of_an_instance_is_one_to_the_api(code: str) -> None:
    """Section 6: the API itself rejects what cannot be read with 400 `InvalidParam.Frequency`."""
    assert (API_ERRORS[code].http_status, API_ERRORS[code].api_code) == (400, "InvalidParam.Frequency")


@pytest.mark.parametrize("text", [rule.text for rule in RULES if rule.differs])
def test_what_differs_on_purpose_stands_on_the_page(text: str) -> None:
    """Whoever comes from the original finds it in one table, with the reason."""
    differences = PAGE.partition("## What differs")[2]

    assert f"`{text}`" in differences


@pytest.mark.parametrize("character", ["x", "0 ", "9", " ", "\u0663"])
def test_a_text_of_a_megabyte_is_refused_at_once(character: str) -> None:
    """Nothing of it is read, and little of it is in the message."""
    text = (f"rate({character * 1_000_000})", character * 1_000_000)[character.isspace()]
    begun = time.process_time()

    with pytest.raises(RequestError) as refused:
        parse_frequency(text, now=NOW)

    assert refused.value.code in {"InvalidParam.Frequency", "MissingParam.Frequency"}
    assert len(str(refused.value)) < 200
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    "text",
    [
        "0 0 9 * * " + "Z" * 900,
        "0 0 9 * * ? " + "A/" * 400,
        "0 0 9 * * ? +" + "9" * 900,
        "rate(" + "9" * 900,
        "at(" + "9" * 900,
        "0 " + "9" * 900 + " 9 * * ?",
    ],
    ids=lambda text: text[:16],
)
def test_a_long_mistake_is_not_repeated_as_a_whole(text: str) -> None:
    """A message stays one that can be read."""
    with pytest.raises(RequestError) as refused:
        parse_frequency(text, now=NOW)

    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("passed_s", [0, 1, 299, 300, 301, 86_400 * 30])
def test_a_rate_follows_the_formula_of_the_specification(passed_s: int) -> None:
    """`next = created + (floor((now - created) / p) + 1) * p`, section 6.1; the same with a new p after a change."""
    for text, interval_s in (("rate(5m)", 300), ("rate(7m)", 420)):
        expected = NOW + timedelta(seconds=(passed_s // interval_s + 1) * interval_s)

        assert expected == parse_frequency(text, now=NOW).next_after(NOW + timedelta(seconds=passed_s), created=NOW)
