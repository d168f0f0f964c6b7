"""The exit codes of a command that waits for hosts, and which one a mix of statuses ends with."""

from collections.abc import Mapping

from fleethand_common.states import STOPPED_KIND, InstanceStatus

OK = 0
"""Every host succeeded."""
ERROR = 1
"""Fleethand or the API could not do what was asked."""
USAGE = 2
"""The command line is wrong."""
PARTIAL = 3
"""Some hosts succeeded, and 5, 6 and 7 do not apply."""
FAILED = 4
"""No host succeeded, and 5, 6 and 7 do not apply."""
UNDELIVERED = 5
"""At least one host never got the command, whatever the others did."""
TIMED_OUT = 6
"""All hosts that did not succeed timed out."""
STOPPED = 7
"""All hosts that did not succeed were stopped."""
WAIT_RAN_OUT = 124
"""`--wait-timeout` is over; the invocation goes on."""
INTERRUPTED = 130
"""Ctrl-C; the invocation goes on."""
PIPE_CLOSED = 141
"""Who read our output went away."""

HELP = """\b
Exit codes:
  0    every host succeeded
  1    Fleethand or the API could not do what was asked
  2    wrong usage
  5    a host never got the command, whatever the others did (Aborted)
  6    all hosts that did not succeed timed out
  7    all hosts that did not succeed were stopped
  3    otherwise, if some hosts succeeded
  4    otherwise: no host succeeded
  124  the wait ran out; the invocation goes on
  130  Ctrl-C; the invocation goes on, its id is printed"""


def exit_code(counts: Mapping[InstanceStatus, int]) -> int:
    """Return the code for a finished invocation: the first rule of `HELP` that fits."""
    present = {InstanceStatus(status) for status, count in counts.items() if count}
    rest = present - {InstanceStatus.SUCCESS}
    if not rest:
        return OK
    if InstanceStatus.ABORTED in rest:
        return UNDELIVERED
    if rest == {InstanceStatus.TIMEOUT}:
        return TIMED_OUT
    if rest <= STOPPED_KIND:
        return STOPPED
    return PARTIAL if InstanceStatus.SUCCESS in present else FAILED
