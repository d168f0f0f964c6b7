"""The options that say when a command runs, and how their values become arguments of the `Dispatcher`."""

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
    click.option("--overlap", type=click.Choice(["skip", "queue", "parallel"]), help="While the last run is active."),
    click.option("--misfire", type=click.Choice(["skip", "latest", "all"]), help="After an outage of the beat."),
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

_POLICY = ("overlap", "misfire", "jitter_s", "start_at", "end_at", "max_runs", "blackout", "stop_on_failure")


def frequency_of(given: Mapping[str, Any]) -> str:
    """Return the frequency in the API's spelling; an empty text if none was given.

    Raises:
        UsageError: more than one was given.
    """
    forms = (("rate", "rate({})"), ("at_time", "at({})"), ("cron", "{}"))
    found = [form.format(given[name]) for name, form in forms if given[name] is not None]
    if len(found) > 1:
        raise click.UsageError("give one of --rate, --at and --cron.")
    return found[0] if found else ""


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
