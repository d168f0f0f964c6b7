"""Tells a person who waits which hosts are awaited because they are offline; once, and only if it takes a while."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fleethand_common.errors import FleethandError
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.cli.tally import hosts

if TYPE_CHECKING:
    from fleethand_dispatcher import Dispatcher

_TELL_AFTER_S = 2.0
_SHOWN = 8


@contextlib.contextmanager
def told(dispatcher: "Dispatcher", invoke_id: str) -> Iterator[None]:
    """Write to stderr, after a while in the block, which hosts have not taken the command, and why."""
    timer = threading.Timer(_TELL_AFTER_S, _tell, (dispatcher, invoke_id))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tell(dispatcher: "Dispatcher", invoke_id: str) -> None:
    with contextlib.suppress(FleethandError):  # the one who waits will meet the same error and tell it
        page = dispatcher.describe_invocation_results(
            invoke_id, invocation_status=InstanceStatus.PENDING, max_results=_SHOWN
        )
        lines = [f"{row.instance_id}: {row.waiting}" for row in page.items if row.waiting]
        pending = dispatcher.invocation(invoke_id).record().counts.get(InstanceStatus.PENDING, 0)
        if lines and pending > len(lines):
            lines.append(f"… {hosts(pending)} have not taken it yet")
        if lines:
            sys.stderr.write("\n".join(lines) + "\n")  # not click.echo, which goes past the bar's stand-in
