"""`fleethand targets`: which hosts a call would reach."""

from typing import TYPE_CHECKING, Any

import click

from fleethand_dispatcher.cli import options, shapes
from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session
from fleethand_dispatcher.cli.tally import hosts

if TYPE_CHECKING:
    from fleethand_dispatcher.models import TargetPreview


@click.command(cls=FleethandCommand, short_help="Print which hosts would be reached.")
@options.target_options
@options.as_json
@pass_session
def targets(session: Session, /, **given: Any) -> None:
    """Print the hosts that these target options reach, one id per line; sends nothing.

    \b
    Example:
      fleethand targets --tag env=prod --limit 10%
    """
    arguments = options.targets_of(given)
    with session.open() as dispatcher:
        print_preview(dispatcher.preview_targets(**arguments), as_json=given["as_json"])


def print_preview(preview: "TargetPreview", *, as_json: bool) -> None:
    """Print the ids on stdout and how many are online on stderr."""
    if as_json:
        shapes.print_json(preview)
        return
    for instance_id in preview.instance_ids:
        click.echo(instance_id)
    counts = f"{hosts(len(preview.instance_ids))}: {preview.online} online, {preview.offline} offline"
    unknown = f", {len(preview.unknown)} never seen ({', '.join(preview.unknown[:8])})" if preview.unknown else ""
    click.echo(counts + unknown, err=True)
