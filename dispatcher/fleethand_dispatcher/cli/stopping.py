"""How an invocation or a schedule is stopped, on all of its hosts or on some."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fleethand_dispatcher.cli import shapes, tables

if TYPE_CHECKING:
    from fleethand_dispatcher import Dispatcher

instances_option = click.option(
    "--instance", "-i", "instances", multiple=True, metavar="ID", help="Only on this host; repeat."
)


def stop_and_print(dispatcher: "Dispatcher", invoke_id: str, instances: Sequence[str], *, as_json: bool) -> None:
    """Stop on *instances*, or everywhere if there are none, and print what became of the request on each host."""
    dispositions = sorted(dispatcher.stop_invocation(invoke_id, instance_ids=instances).items())
    if as_json:
        shapes.print_json({"invocation_id": invoke_id, "instances": dict(dispositions)})
    else:
        tables.print_rows(("instance", "request"), dispositions)
