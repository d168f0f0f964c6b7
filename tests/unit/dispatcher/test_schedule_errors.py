"""What is refused, with which code, and that the message points at it."""

from datetime import UTC, datetime

import pytest

from fleethand_common.errors import RequestError
from fleethand_dispatcher.schedules.frequency import find_zone, parse_frequency

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)

FIELDS = [
    ("60 0 9 * * ?", "Second (field 1, character 1): 60 is out of 0-59."),
    ("0 0,61 9 * * ?", "Minute (field 2, character 5): 61 is out of 0-59."),
    ("0 0 24 * * ?", "Hour (field 3, character 5): 24 is out of 0-23."),
    ("0 0 9 0 * ?", "Day of month (field 4, character 7): 0 is out of 1-31, L, LW or nW."),
    ("0 0 9 32W * ?", "Day of month (field 4, character 7): 32 is out of 1-31"),
    ("0 0 9 L-3 * ?", "Day of month (field 4, character 7): cannot read 'L-3'; L is the last day"),
    ("0 0 9 W * ?", "Day of month (field 4, character 7): cannot read 'W'"),
    ("0 0 9 MON * ?", "Day of month (field 4, character 7): cannot read 'MON'; allowed are 1-31"),
    ("0 0 9 1,? * ?", "Day of month (field 4, character 9): cannot read '?'"),
    ("0 0 9 1  13 ?", "Month (field 5, character 10): 13 is out of 1-12 or JAN-DEC."),
    ("0 0 9 1 foo ?", "Month (field 5, character 9): cannot read 'foo'"),
    ("0 0 9 ? ? MON", "Month (field 5, character 9): cannot read '?'"),
    ("0 0 9 ? * 8", "Day of week (field 6, character 11): 8 is out of 1-7 (1 is Monday, 7 is Sunday)"),
    ("0 0 9 ? * 0", "Day of week (field 6, character 11): 0 is out of 1-7 (1 is Monday, 7 is Sunday)"),
    ("0 0 9 ? * MON,FIR", "Day of week (field 6, character 15): cannot read 'FIR'"),
    ("0 0 9 ? * 6#6", "Day of week (field 6, character 11): '6' after # is out of 1-5."),
    ("0 0 9 ? * 0#1", "Day of week (field 6, character 11): 0 is out of 1-7"),
    ("0 0 9 ? * 6#", "Day of week (field 6, character 11): '' after # is out of 1-5."),
    ("0 0 9 ? * LL", "Day of week (field 6, character 11): cannot read 'LL'"),
    ("0 0 9 ? * 5W", "Day of week (field 6, character 11): cannot read '5W'"),
    ("0 0 9 * * ? 2105", "Year (field 7, character 13): 2105 is out of 1970-2099."),
    ("0 0 9 * * ? 2030-2028", "Year (field 7, character 13): 2030-2028 runs backwards."),
    ("0 0 9 * * ? Asia/Tokyo 2027", "Year (field 7, character 13): cannot read 'Asia"),
    ("0 */90 9 * * ?", "Minute (field 2, character 3): the step '90' is out of 1-59."),
    ("0 */0 9 * * ?", "Minute (field 2, character 3): the step '0' is out of 1-59."),
    ("0 1/2/3 9 * * ?", "Minute (field 2, character 3): the step '2/3' is out of 1-59."),
    ("0 1-2-3 9 * * ?", "Minute (field 2, character 3): cannot read '1-2-3'"),
    ("0 1, 9 * * ?", "Minute (field 2, character 5): cannot read ''"),
    ("0 -5 9 * * ?", "Minute (field 2, character 3): cannot read '-5'"),
    ("0 005 9 * * ?", "Minute (field 2, character 3): cannot read '005'"),
    ("0 ٣ 9 * * ?", "Minute (field 2, character 3): cannot read '٣'"),
    ("0 H 9 * * ?", "Minute (field 2, character 3): cannot read 'H'"),
]
WHOLE = [
    ("0 0 9 ? * ?", "BadCronExpression", "write * in one of them"),
    ("0 9 * * MON", "BadCronExpression", "write 0 0 9 * * MON."),
    ("9 * *", "BadCronExpression", "3 fields were found. Write 6 to 8 fields"),
    ("0 0 9 * * ? 2027 UTC UTC", "BadCronExpression", "9 fields were found."),
    ("@daily", "BadCronExpression", "Write 0 0 0 * * ?."),
    ("@reboot", "BadCronExpression", "Write 6 to 8 fields"),
    ("every 5 minutes", "BadCronExpression", "3 fields were found."),
    ("0 0 9 31 2 ?", "CronExpressionExpired", "look at day, month and year"),
    ("0 0 9 31W 4,6 ?", "CronExpressionExpired", "no time after 2026-07-01 12:00:00 UTC"),
    ("0 0 9 29 2 ? 2027", "CronExpressionExpired", "look at day, month and year"),
    ("0 0 9 * * ? 2022", "CronExpressionExpired", "no time after 2026-07-01 12:00:00 UTC"),
    ("rate(0s)", "InvalidRateExpression", "must be greater than 0"),
    ("rate(5)", "InvalidRateExpression", "rate(5m)"),
    ("rate(-5m)", "InvalidRateExpression", "rate(5m)"),
    ("rate(5w)", "InvalidRateExpression", "s, m, h or d"),
    ("rate(1.5h)", "InvalidRateExpression", "rate(5m)"),
    ("rate(٥m)", "InvalidRateExpression", "rate(5m)"),
    ("rate 5m", "InvalidRateExpression", "rate(5m)"),
    ("rate(5m) rate(5m)", "InvalidRateExpression", "rate(5m)"),
    ("rate(59s)", "InvalidParam.Frequency", "at least 60 seconds"),
    ("rate(8d)", "RateFrequencyTooLarge", "at most 7 days"),
    ("rate(604801s)", "RateFrequencyTooLarge", "at most 7 days"),
    (f"rate({2**48 * 86_400}d)", "RateFrequencyTooLarge", "at most 7 days"),
    (f"rate({'9' * 900}d)", "RateFrequencyTooLarge", "at most 7 days"),
    ("at(2026-07-01T12:00:00)", "InvalidAtExpression", "at(yyyy-MM-dd HH:mm:ss zone)"),
    ("at(2027-01-01)", "InvalidAtExpression", "at(yyyy-MM-dd HH:mm:ss zone)"),
    ("at(2027-02-29 09:00:00)", "InvalidAtExpression", "There is no 2027-02-29 09:00:00 UTC."),
    ("at(2027-01-01 24:00:00)", "InvalidAtExpression", "There is no 2027-01-01 24:00:00 UTC."),
    ("at(9999-12-31 23:59:59 GMT-7:00)", "InvalidAtExpression", "There is no 9999-12-31"),
    ("at(2020-01-01 00:00:00)", "AtExpressionExpired", "it is 2026-07-01 12:00:00 UTC now"),
    ("at(2026-07-01 12:00:00 Asia/Tokyo)", "AtExpressionExpired", "is 2026-07-01 03:00:00 UTC"),
    (" ", "MissingParam.Frequency", "rate(5m)"),
    ("0 0 9 * * ? " + "x" * 1000, "InvalidParam.Frequency", "1000 are allowed"),
]
ZONES = [
    ("Asia/Shangai", "TimezoneInformationCorrupt", "Did you mean Asia/Shanghai?"),
    ("asia/shanghai", "TimezoneInformationCorrupt", "Did you mean Asia/Shanghai?"),
    ("Mars/Olympus_Mons_Base", "TimezoneInformationCorrupt", "Cannot find"),
    ("../etc/passwd", "TimezoneInformationCorrupt", "Cannot find"),
    ("Europe/", "TimezoneInformationCorrupt", "Cannot find"),
    ("/etc/localtime", "TimezoneInformationCorrupt", "Cannot find"),
    ("right/Europe/Berlin", "TimezoneInformationCorrupt", "Did you mean Europe/Berlin?"),
    ("Etc/2027", "TimezoneInformationCorrupt", "Cannot find"),
    ("CET", "TimezoneInformationCorrupt", "Europe/Berlin"),
    ("GMT+08:00", "InvalidGMTOffsetForTimezone", "no zero before the hour"),
    ("GMT+8", "InvalidGMTOffsetForTimezone", "GMT+8:00"),
    ("UTC+8:00", "InvalidGMTOffsetForTimezone", "GMT+8:00"),
    ("+08:00", "InvalidGMTOffsetForTimezone", "GMT+8:00"),
    ("-7", "InvalidGMTOffsetForTimezone", "GMT+8:00"),
    ("GMT+15:00", "InvalidGMTOffsetHourForTimezone", "beyond GMT+14"),
    ("GMT-13:00", "InvalidGMTOffsetHourForTimezone", "beyond GMT-12"),
    ("GMT+8:60", "InvalidGMTOffsetMinuteForTimezone", "60 is out of 00-59"),
]


@pytest.mark.parametrize(("text", "message"), FIELDS)
def test_wrong_field_is_named_with_its_place_and_what_is_allowed(text: str, message: str) -> None:
    """Whoever reads the message knows where to look and what to write."""
    with pytest.raises(RequestError) as refused:
        parse_frequency(text, now=NOW)

    assert refused.value.code == "BadCronExpression"
    assert message in str(refused.value)


@pytest.mark.parametrize(("text", "code", "message"), WHOLE)
def test_expression_is_refused_with_its_code_and_the_way_out(text: str, code: str, message: str) -> None:
    """Each kind of mistake has the code that the API's instances report for it."""
    with pytest.raises(RequestError) as refused:
        parse_frequency(text, now=NOW)

    assert code == refused.value.code
    assert message in str(refused.value)


@pytest.mark.parametrize(("name", "code", "message"), ZONES)
def test_zone_is_refused_with_its_code_in_every_place(name: str, code: str, message: str) -> None:
    """A name is refused alike by itself, in cron and in `at`."""
    for read in (
        lambda: find_zone(name),
        lambda: parse_frequency(f"0 0 9 * * ? {name}", now=NOW),
        lambda: parse_frequency(f"0 0 9 * * ? * {name}", now=NOW),
        lambda: parse_frequency(f"at(2027-01-01 09:00:00 {name})", now=NOW),
    ):
        with pytest.raises(RequestError) as refused:
            read()
        assert code == refused.value.code
        assert message in str(refused.value)


@pytest.mark.parametrize("name", ["GMT+14:59", "GMT-12:59", "GMT-0:30", "UTC", "GMT", "utc", "Asia/Kathmandu"])
def test_zone_is_found_in_every_form(name: str) -> None:
    """The ends of the range are in it."""
    assert find_zone(name).utcoffset(NOW) is not None


@pytest.mark.parametrize(
    ("text", "timeout_s", "gap"),
    [
        ("rate(60s)", 60, "longer than the timeout of 60 s"),
        ("rate(5m)", 3600, "longer than the timeout of 3600 s"),
        ("*/5 * * * * ?", None, "5 s apart; at least 10 s"),
        ("0 * * * * ?", 61, "60 s apart, which is less than the timeout of 61 s"),
        ("0,51 0 9 * * ?", 60, "51 s apart"),
        ("0,51 * 9 * * ?", 30, "9 s apart"),
        ("0 0-50/5,51 * * * ?", 120, "60 s apart"),
        ("0 0,59 0,5,10,15,20,23 * * ?", 120, "60 s apart"),
        ("0 0,59 0,23 15,16 * ?", 120, "60 s apart"),
        ("0 0 9 * * ?", 86_401, "86400 s apart"),
    ],
)
def test_runs_that_are_too_near_to_each_other_are_refused(text: str, timeout_s: int | None, gap: str) -> None:
    """The shortest gap counts, also where it is rare or lies over midnight."""
    with pytest.raises(RequestError) as refused:
        parse_frequency(text, now=NOW, timeout_s=timeout_s)

    assert refused.value.code == "InvalidParam.Frequency"
    assert gap in str(refused.value)


@pytest.mark.parametrize(
    ("text", "timeout_s"),
    [
        ("rate(61s)", 60),
        ("*/10 * * * * ?", 10),
        ("0 * * * * ?", 60),
        ("0 0,59 0,23 15 * ?", 120),
        ("0 0 9 * * ?", 86_400),
        ("0 0 9 1 1 ? 2027", 86_400),
    ],
)
def test_runs_exactly_at_the_limit_are_allowed(text: str, timeout_s: int) -> None:
    """A cron gap may equal the timeout; over a midnight there is none unless both days fire."""
    assert text == parse_frequency(text, now=NOW, timeout_s=timeout_s).text
