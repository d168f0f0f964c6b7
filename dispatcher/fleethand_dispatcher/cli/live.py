"""Live output on the screen: each host's pieces as whole lines, with what is missing between them said."""

from typing import TYPE_CHECKING

from fleethand_common.states import TERMINAL
from fleethand_dispatcher.cli.lines import LinePrinter

if TYPE_CHECKING:
    from fleethand_dispatcher.models import InvocationEvent


class LiveOutput:
    """Shows the events of an invocation as lines."""

    def __init__(self, printer: LinePrinter) -> None:
        self._printer = printer

    def show(self, event: "InvocationEvent") -> None:
        """Show a piece of output, or that a host has no more."""
        if event.kind == "output":
            self._printer.feed(event.instance_id, _introduction(event) + event.data)
        elif event.status in TERMINAL or event.run_id:  # of a schedule, one run after the other
            self._printer.finish(event.instance_id)

    def finish(self) -> None:
        """Show the beginnings of lines that have no end yet."""
        self._printer.finish_all()


def _introduction(event: "InvocationEvent") -> str:
    if event.again:
        return "\n… live output got lost; all of it:\n"
    return f"\n… {event.skipped_bytes} bytes dropped …\n" if event.skipped_bytes else ""
