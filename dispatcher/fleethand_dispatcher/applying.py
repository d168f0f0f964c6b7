"""From a host's report to a change of a row."""

from fleethand_common.instance_errors import InstanceErrorCode
from fleethand_common.messages import Accepted, ExecutionReport, Finished, OutputChunk, Refusal, Refused, Started
from fleethand_common.states import TERMINAL
from fleethand_dispatcher.alerts import Alert
from fleethand_dispatcher.changes import Change
from fleethand_dispatcher.rows import Snapshot

_NUMBER_MAX = 10**14 - 1
"""In milliseconds since 1970, the year 5138."""

_HARMLESS = frozenset({Refusal.EXPIRED, Refusal.SEEN_BEFORE})
"""Refusals that happen where nobody attacks: a message was late, or came twice."""
_DETAIL_CHARS = 200


class PoisonedReportError(ValueError):
    """The report is well formed but says what a host cannot say."""


def change_for(
    report: ExecutionReport, snapshot: Snapshot, deliver_before_ms: int, lease_ms: int
) -> tuple[Change, str]:
    """Return the change that *report* asks for, and the output that travels beside it.

    Args:
        lease_ms: how long past its deadline a host may be silent.

    Raises:
        PoisonedReportError: it cannot be true.
    """
    _check_numbers(report)
    match report:
        case Accepted(instance_id=i, at_ms=at):
            return Change(i=i, kind="accepted", at=at, watch_at=deliver_before_ms + lease_ms), ""
        case Started(instance_id=i, started_at_ms=at):
            allowed_ms = int((snapshot.timeout_s + snapshot.stop_grace_s) * 1000) + lease_ms
            return Change(i=i, kind="started", at=at, watch_after_ms=allowed_ms), ""
        case OutputChunk(instance_id=i, offset=offset, data=data):
            return Change(i=i, kind="output", offset=offset), data
        case Finished():
            return _finished(report)


def _check_numbers(report: ExecutionReport) -> None:
    """Lua writes an integer of 15 digits as `1e+15`, which no reader takes for an integer; such a row would be lost."""
    for name in report.__struct_fields__:
        value = getattr(report, name)
        if isinstance(value, int) and not -_NUMBER_MAX <= value <= _NUMBER_MAX:
            raise PoisonedReportError(f"{name} cannot be {value}")


def _finished(report: Finished) -> tuple[Change, str]:
    if report.status not in TERMINAL:
        raise PoisonedReportError(f"cannot finish as {report.status}")
    if report.error_code and report.error_code not in set(InstanceErrorCode):
        raise PoisonedReportError(f"cannot finish with the unknown code {report.error_code[:64]!r}")
    change = Change(
        i=report.instance_id,
        kind="finished",
        to=report.status,
        at=report.finished_at_ms,
        started_at=report.started_at_ms,
        exit_code=report.exit_code,
        error_code=report.error_code or None,
        error_info=report.error_info or None,
        dropped=report.dropped or None,
    )
    return change, report.output


def refusal_alert(report: Refused) -> Alert:
    """Return the alert on a message that a host did not trust."""
    return Alert(
        "host.refused",
        report.reason,
        actor=report.instance_id,
        detail=report.detail[:_DETAIL_CHARS],
        invoke_id=report.invocation_id[:_DETAIL_CHARS],
        outcome="refused" if report.reason in _HARMLESS else "alert",
    )


def refusal_change(report: Refused) -> Change:
    """Return the change that tells it in the story of a row; its status stays."""
    detail = f"the host refused a copy: {report.reason}" + (f" ({report.detail})" if report.detail else "")
    return Change(i=report.instance_id, kind="refused", detail=detail[:_DETAIL_CHARS])
