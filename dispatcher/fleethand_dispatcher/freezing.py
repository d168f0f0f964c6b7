"""Whether the fleet is frozen, who froze it and why: what the newest genuine directive says."""

from collections.abc import Sequence
from typing import NamedTuple

from fleethand_dispatcher.directive_records import IssuedDirective
from fleethand_dispatcher.directives import Directives

_BY = ": "


class Frozen(NamedTuple):
    """A freeze that holds."""

    actor: str
    reason: str
    since_ms: int


def is_frozen(directives: Directives, issued: Sequence[IssuedDirective] | None = None) -> Frozen | None:
    """Return the freeze that holds; None if commands may start.

    It is signed, so that whoever owns Redis can neither freeze nor unfreeze.

    Args:
        issued: all directives, if the caller has just read them.
    """
    current = directives.current(issued)
    if current is None or not current.frozen:
        return None
    actor, _, reason = current.frozen_reason.partition(_BY)
    return Frozen(actor, reason, current.issued_at_ms)


def set_frozen(directives: Directives, *, frozen: bool, actor: str, reason: str = "") -> None:
    """Tell every host to start nothing, or to start again; returns when it is in their queues."""
    directives.issue(frozen, reason=f"{actor}{_BY}{reason}" if frozen else "")
