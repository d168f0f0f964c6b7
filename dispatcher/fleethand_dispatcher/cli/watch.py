"""Waits for an invocation and shows it: live lines, then the fold, the failures and one summary line."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from fleethand_common.errors import FleethandError, WaitTimeoutError
from fleethand_dispatcher.cli import colour, exits, shapes
from fleethand_dispatcher.cli.lines import LinePrinter, cleaned
from fleethand_dispatcher.cli.live import LiveOutput
from fleethand_dispatcher.cli.progress import Bar
from fleethand_dispatcher.cli.tally import Tally, summary
from fleethand_dispatcher.cli.waiting import told

if TYPE_CHECKING:
    from fleethand_dispatcher import Dispatcher, Invocation


@dataclass(frozen=True, kw_only=True)
class View:
    """How the output is to be shown; see `options.output_options`."""

    output: str = "auto"
    prefix: bool = True
    as_json: bool = False
    as_events: bool = False
    """JSON is a line per event instead of one object at the end."""
    wait_timeout_s: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any], *, events: bool = False) -> "View":
        """Take the view out of a command's options."""
        return cls(
            as_events=events and options["as_json"],
            output=options["output"],
            prefix=not options["no_prefix"],
            as_json=options["as_json"],
            wait_timeout_s=options["wait_timeout_s"],
        )

    @property
    def is_live(self) -> bool:
        """True if lines are printed as they come."""
        return self.output in ("auto", "lines") and not self.as_json


class Watch:
    """One look at one invocation until it has finished, the wait is over or Ctrl-C."""

    def __init__(self, dispatcher: "Dispatcher", invocation: "Invocation", view: View) -> None:
        self._dispatcher = dispatcher
        self._invocation = invocation
        self._view = view
        self._live = LiveOutput(LinePrinter(prefix=view.prefix))

    def run(self) -> int:
        """Wait, print, and return the exit code."""
        code: int | None = None
        try:
            self._wait()
        except WaitTimeoutError:
            code = exits.WAIT_RAN_OUT
            self._note("the wait ran out")
        except KeyboardInterrupt:
            code = exits.INTERRUPTED
            self._note("interrupted")
        except FleethandError:
            self._note("lost sight of it")
            raise
        counts = self._report()
        return exits.exit_code(counts) if code is None else code

    def _wait(self) -> None:
        if self._view.as_events:
            for event in self._invocation.follow(timeout_s=self._view.wait_timeout_s):
                shapes.print_json_line(event)
            return
        if self._view.as_json or not self._view.is_live:
            self._invocation.wait(timeout_s=self._view.wait_timeout_s)
            return
        is_watched = colour.is_terminal(sys.stderr)
        bar = Bar(self._invocation.record().instance_count if is_watched else 0)
        with told(self._dispatcher, self._invocation.invoke_id), bar.shown():
            self._follow(bar)

    def _follow(self, bar: Bar) -> None:
        try:
            for event in self._invocation.follow(timeout_s=self._view.wait_timeout_s):
                self._live.show(event)
                bar.saw(event.instance_id, event.status)
        finally:
            self._live.finish()

    def _report(self) -> Mapping[Any, int]:
        record = self._invocation.record()
        if self._view.as_events:
            return record.counts
        if self._view.as_json:
            shapes.print_json(shapes.invocation_object(record, self._invocation.results()))
            return record.counts
        tally = Tally()
        for result in self._invocation.results():
            tally.add(result)
        print_tally(tally, self._view.output)
        click.echo(summary(record), err=True)
        return record.counts

    def _note(self, what: str) -> None:
        invoke_id = self._invocation.invoke_id
        click.echo(
            f"{what}: invocation {invoke_id} goes on; see it with 'fleethand invocation follow {invoke_id}',"
            f" end it with 'fleethand invocation stop {invoke_id}'",
            err=True,
        )


def print_tally(tally: Tally, output: str) -> None:
    """Print the fold on stdout if it is wanted, and the failures on stderr."""
    if output == "fold" or (output == "auto" and tally.is_worth_folding):
        is_terminal = colour.is_terminal(sys.stdout)
        for line in tally.folded():
            click.echo(cleaned(line) if is_terminal else line)
        sys.stdout.flush()
    for line in tally.failures():
        click.echo(cleaned(line), err=True)
