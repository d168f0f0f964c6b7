"""The changes that `lua/transition.lua` can apply to a row, each as it is written to the script."""

import msgspec

from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.states import InstanceStatus


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of one row. `kind` names the function of the script; the rest is what that function reads.

    Times are milliseconds on the server's clock. A text travels beside the change, not in it; `digest` and `mark` are
    put in when it is sealed.
    """

    i: str
    kind: str
    at: int | None = None
    to: InstanceStatus | None = None
    from_: InstanceStatus | None = msgspec.field(default=None, name="from")
    started_at: int | None = None
    exit_code: int | None = None
    error_code: str | None = None
    error_info: str | None = None
    dropped: int | None = None
    digest: str | None = None
    offset: int | None = None
    presumed: bool = False
    watch_at: int | None = None
    watch_after_ms: int | None = None
    detail: str | None = None
    mark: str | None = None


def presumption(
    instance_id: str,
    current: InstanceStatus,
    code: InstanceErrorCode | None,
    info: str,
    *,
    at_ms: int,
    to: InstanceStatus | None = None,
) -> Change:
    """Return the control plane's guess about a silent host.

    Args:
        at_ms: when it was judged.
        to: the status to presume where it is not the one that *code* stands for.
    """
    status = to or (INSTANCE_ERRORS[code].status if code else InstanceStatus.CANCELLED)
    return Change(
        i=instance_id,
        kind="presume",
        at=at_ms,
        from_=current,
        to=status,
        error_code=code,
        error_info=info,
        presumed=True,
    )
