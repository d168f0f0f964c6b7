"""The two levels of status, which changes are allowed, and how an invocation's status follows from its instances'.

Nothing here knows where statuses are stored; `dispatcher/store.py` hands this table to its Lua script.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class InstanceStatus(StrEnum):
    """What one instance did in one invocation (spec: "Instance-level status")."""

    PENDING = "Pending"
    """Recorded; the host has not started it."""
    SCHEDULED = "Scheduled"
    """A repeating command waits for its next run."""
    RUNNING = "Running"
    """The command executes on the host."""
    STOPPING = "Stopping"
    """A stop was asked for and the host has not confirmed it."""
    INVALID = "Invalid"
    """The host cannot run this command: its type, user, directory or parameters do not fit."""
    ABORTED = "Aborted"
    """It could not be delivered, or the host refused to take it."""
    SUCCESS = "Success"
    """Ended with exit code 0."""
    FAILED = "Failed"
    """Ended with another exit code."""
    ERROR = "Error"
    """Our side could not carry it through; the command itself is not to blame."""
    TIMEOUT = "Timeout"
    """Ran longer than its timeout and was killed."""
    CANCELLED = "Cancelled"
    """Stopped before it started."""
    TERMINATED = "Terminated"
    """Stopped while it ran."""
    STOPPED = "Stopped"
    """A schedule was stopped between two runs."""


class InvocationStatus(StrEnum):
    """The batch as a whole; always derived by `aggregate` (spec: "Invocation-level status")."""

    PENDING = "Pending"
    """At least one instance is Pending."""
    RUNNING = "Running"
    """None is Pending and at least one is Running."""
    STOPPING = "Stopping"
    """None is Pending or Running and at least one is Stopping."""
    SCHEDULED = "Scheduled"
    """The rest waits for a next run."""
    SUCCESS = "Success"
    """All finished with Success."""
    PARTIAL_FAILED = "PartialFailed"
    """All finished; some with Success, some failed or were stopped."""
    FAILED = "Failed"
    """All finished, none with Success, at least one failed."""
    STOPPED = "Stopped"
    """All were stopped."""


LIVE_PRECEDENCE: tuple[tuple[InstanceStatus, InvocationStatus], ...] = (
    (InstanceStatus.PENDING, InvocationStatus.PENDING),
    (InstanceStatus.RUNNING, InvocationStatus.RUNNING),
    (InstanceStatus.STOPPING, InvocationStatus.STOPPING),
    (InstanceStatus.SCHEDULED, InvocationStatus.SCHEDULED),
)
"""The first of these that any instance is in is the invocation's status."""

FAILED_KIND = frozenset(
    {
        InstanceStatus.INVALID,
        InstanceStatus.ABORTED,
        InstanceStatus.FAILED,
        InstanceStatus.TIMEOUT,
        InstanceStatus.ERROR,
    }
)
STOPPED_KIND = frozenset({InstanceStatus.CANCELLED, InstanceStatus.TERMINATED, InstanceStatus.STOPPED})
LIVE = frozenset(status for status, _ in LIVE_PRECEDENCE)
TERMINAL = frozenset(InstanceStatus) - LIVE
INVOCATION_TERMINAL = frozenset(InvocationStatus) - {status for _, status in LIVE_PRECEDENCE}

assert frozenset({InstanceStatus.SUCCESS}) | FAILED_KIND | STOPPED_KIND == TERMINAL, "every status has one place"

_ENDINGS = frozenset(TERMINAL - {InstanceStatus.STOPPED})
"""A report can be the first that arrives: any of these may follow Pending directly."""

TRANSITIONS: Mapping[InstanceStatus, frozenset[InstanceStatus]] = {
    InstanceStatus.PENDING: _ENDINGS | {InstanceStatus.RUNNING, InstanceStatus.STOPPING, InstanceStatus.SCHEDULED},
    InstanceStatus.SCHEDULED: TERMINAL | {InstanceStatus.RUNNING, InstanceStatus.STOPPING},
    InstanceStatus.RUNNING: _ENDINGS | {InstanceStatus.STOPPING, InstanceStatus.SCHEDULED},
    InstanceStatus.STOPPING: TERMINAL,
    **{status: frozenset() for status in TERMINAL},
}
"""From-status to the statuses that may follow. A terminal status has no successor."""

AFTER_LAST_RUN: Mapping[InstanceStatus, InstanceStatus] = {
    InstanceStatus.SUCCESS: InstanceStatus.SUCCESS,
    **dict.fromkeys(FAILED_KIND, InstanceStatus.FAILED),
    **dict.fromkeys(STOPPED_KIND, InstanceStatus.STOPPED),
}
"""How a schedule that is over ends on an instance, by the status of its last run there (spec 5.2, decision 0012)."""

AFTER_STOP: Mapping[InstanceStatus, InstanceStatus] = {
    **dict.fromkeys(TERMINAL, InstanceStatus.STOPPED),
    InstanceStatus.TERMINATED: InstanceStatus.TERMINATED,
    InstanceStatus.ERROR: InstanceStatus.ERROR,
}
"""How a schedule ends that was stopped during a run, by how that run ended; `Cancelled` instead of `Stopped` if no
run ever started."""

PRESUMABLE = frozenset({InstanceStatus.ABORTED, InstanceStatus.ERROR, InstanceStatus.CANCELLED})
"""What the control plane may presume of a silent host."""

REPLACES_PRESUMED = TERMINAL | {InstanceStatus.RUNNING}
"""What the host itself may still say once after such a guess; the truth wins."""


def aggregate(statuses: Iterable[InstanceStatus]) -> InvocationStatus:
    """Derive an invocation's status from the set of its instances' statuses.

    Args:
        statuses: each status that at least one instance is in; order and repetition do not matter.

    Returns:
        The invocation-level status; an invocation without instances is `Success`, as nothing was left undone.

    Source: overview, "Invocation-level status"; order of precedence: docs/decisions/0001.
    """
    present = frozenset(statuses)
    for live, status in LIVE_PRECEDENCE:
        if live in present:
            return status
    if InstanceStatus.SUCCESS in present or not present:
        return InvocationStatus.PARTIAL_FAILED if len(present) > 1 else InvocationStatus.SUCCESS
    return InvocationStatus.FAILED if present & FAILED_KIND else InvocationStatus.STOPPED


def is_allowed(current: InstanceStatus, following: InstanceStatus, *, presumed: bool = False) -> bool:
    """Tell whether *following* may replace *current*.

    Args:
        presumed: the current status is the control plane's guess and *following* is the host's own word.
    """
    if presumed and current in PRESUMABLE:
        return following in REPLACES_PRESUMED
    return following in TRANSITIONS[current]
