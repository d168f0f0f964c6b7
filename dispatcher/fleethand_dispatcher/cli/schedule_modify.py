"""`fleethand schedule modify`: another script, other values, another time or more hosts for a schedule that lives."""

from typing import TYPE_CHECKING, Any

import click

from fleethand_dispatcher.cli import options, shapes
from fleethand_dispatcher.cli.options import invocation_id
from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session
from fleethand_dispatcher.cli.tally import hosts
from fleethand_dispatcher.cli.timing import frequency_of, frequency_options
from fleethand_dispatcher.cli.upcoming import next_runs, print_upcoming
from fleethand_dispatcher.cli.words import content

if TYPE_CHECKING:
    from fleethand_dispatcher import Dispatcher
    from fleethand_dispatcher.models import Schedule


@click.command(cls=FleethandCommand)
@invocation_id
@frequency_options
@click.option("--file", "-f", metavar="FILE", help="The new script is in this file; - is stdin.")
@options.parameter_options
@click.option("--add-instance", "instances", multiple=True, metavar="ID", help="A host more; repeat or use commas.")
@click.option("--client-token", metavar="TOKEN", help="The same call again with this token changes nothing twice.")
@options.as_json
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND…]")
@pass_session
def modify(session: Session, /, *, ident: str, words: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Change a schedule that lives: when it runs, its script, its values, or add hosts; what is left out stays.

    A run under way is not disturbed. A rate still counts from the schedule's beginning.

    \b
    Example:
      fleethand schedule modify last --cron '0 30 4 * * ? * Europe/Berlin'
      fleethand schedule modify last --add-instance web-7 -- 'apt-get -y upgrade && reboot'
    """
    changes = _changes(given)
    if not (changes or words or given["file"]):
        raise click.UsageError("say what is to be other: --rate, --at, --cron, --parameter, --add-instance, a script.")
    with session.open() as dispatcher:
        ident = dispatcher.resolve_invocation(ident)
        if words or given["file"]:
            record = dispatcher.describe_invocation(ident)
            is_env = record.interpolation == "env"
            changes["command_content"] = content(words, given["file"], record.command_type, from_environment=is_env)
        before = _schedule(dispatcher, ident)
        dispatcher.modify_invocation_attribute(ident, client_token=given["client_token"], **changes)
        after = _schedule(dispatcher, ident)
        if as_json:
            shapes.print_json(after)
            return
        _tell(before, after, has_values="parameters" in changes)
        print_upcoming(next_runs(dispatcher, ident))


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the `Dispatcher` that do not need the schedule; none if nothing is to be other."""
    changes: dict[str, Any] = {}
    if frequency := frequency_of(given):
        changes["frequency"] = frequency
    if values := options.parameters_of(given):
        changes |= {"parameters": values, "enable_parameter": True}
    if ids := options.instance_ids_of(given["instances"]):
        changes["instance_ids"] = ids
    return changes


def _schedule(dispatcher: "Dispatcher", ident: str) -> "Schedule | None":
    return next(iter(dispatcher.describe_schedules(invoke_id=ident).items), None)


def _tell(before: "Schedule | None", after: "Schedule | None", *, has_values: bool) -> None:
    if before is None or after is None:
        return
    found = []
    if before.frequency != after.frequency:
        found.append(f"its frequency is {after.frequency} instead of {before.frequency}")
    if before.command_id != after.command_id:
        found.append(f"its command is {after.command_id} instead of {before.command_id}")
    if added := after.instance_count - before.instance_count:
        found.append(f"{hosts(added)} more")
    if has_values and before.version != after.version:
        found.append("it has other values")
    if before.version == after.version:
        click.echo(f"{after.invoke_id} is so already; nothing was changed.", err=True)
        return
    click.echo(f"{after.invoke_id}: {'; '.join(found)}. A run under way is not disturbed.", err=True)
