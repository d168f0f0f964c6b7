"""The options that say when a command runs, and how their values become arguments of the `Dispatcher`."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from fleethand_dispatcher.cli.options import WholeSeconds, stacked


class Moment(click.ParamType[Any]):
    """A date and time, `2027-01-01T09:00` or with a zone `2027-01-01T09:00Z`; without one it is this machine's."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return an aware datetime."""
        try:
            return datetime.fromisoformat(str(value).strip()).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write 2027-01-01T09:00 or 2027-01-01T09:00Z.", param, ctx)


frequency_options = stacked(
    click.option("--rate", metavar="N[smhd]", help="Again and again, this far apart: 5m, 1h, 7d."),
    click.option("--at", "at_time", metavar="TIME", help="Once: 'yyyy-MM-dd HH:mm:ss', UTC, or with a zone after it."),
    click.option("--cron", metavar="EXPR", help="6 to 8 fields: second minute hour day month weekday [year] [zone]."),
)

policy_options = stacked(
    click.option(
        "--overlap",
        type=click.Choice(["skip", "queue", "parallel"]),
        help="While the last run is active; skip unless given.",
    ),
    click.option(
        "--misfire",
        type=click.Choice(["skip", "latest", "all"]),
        help="After an outage of the beat; skip unless given.",
    ),
    click.option(
        "--jitter",
        "jitter_s",
        type=WholeSeconds(),
        help="Put each run off by chance, up to this; less than the time between two runs.",
    ),
    click.option("--start-at", type=Moment(), metavar="TIME", help="No run before."),
    click.option("--end-at", type=Moment(), metavar="TIME", help="No run after."),
    click.option("--max-runs", type=click.IntRange(1), metavar="N", help="No more runs than this."),
    click.option(
        "--blackout", multiple=True, metavar="WINDOW", help="No run in it, e.g. 'MON-FRI 09:00-17:00'; repeat."
    ),
    click.option("--stop-on-failure", is_flag=True, help="A host whose run fails leaves the schedule."),
)

_FORMS = {"rate": "rate", "at_time": "at", "cron": ""}
"""The options and, where they leave it out, the API's word for them."""
_POLICY = ("overlap", "misfire", "jitter_s", "start_at", "end_at", "max_runs", "blackout", "stop_on_failure")


def frequency_of(given: Mapping[str, Any]) -> str:
    """Return the frequency in the API's spelling; an empty text if none was given.

    `--rate` and `--at` take the API's own `rate(5m)` and `at(…)`, too, as error messages show these.

    Raises:
        UsageError: more than one was given, or one without a value.
    """
    found = [(form, str(given[name]).strip()) for name, form in _FORMS.items() if given[name] is not None]
    if len(found) > 1:
        raise click.UsageError("give one of --rate, --at and --cron.")
    if not found:
        return ""
    form, value = found[0]
    if not value:  # from an unset variable of a shell; without a schedule the command would run at once
        raise click.UsageError(f"--{form or 'cron'} is empty: say when to run, or leave it out.")
    is_whole = not form or re.match(rf"{form}\s*\(", value, re.IGNORECASE)
    return value if is_whole else f"{form}({value})"


def timing_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return when a command is to run; nothing for one that runs now.

    Raises:
        UsageError: an option of a schedule without a schedule.
    """
    policy = {name: given[name] for name in _POLICY if given[name]}
    frequency = frequency_of(given)
    if policy and not frequency:
        flag = "--" + next(iter(policy)).removesuffix("_s").replace("_", "-")
        raise click.UsageError(f"{flag} is for a schedule: give --rate, --at or --cron with it.")
    return {"frequency": frequency, **policy} if frequency else {}
