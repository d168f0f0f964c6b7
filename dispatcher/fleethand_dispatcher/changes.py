"""The changes that `lua/transition.lua` can apply to a row, each as it is written to the script."""

from collections.abc import Sequence
from typing import Any

import msgspec

from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.states import InstanceStatus


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of one row. `kind` names the function of the script; the rest is what that function reads.

    Times are milliseconds on the server's clock. `text` travels beside the change, not in it.
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


_encode = msgspec.json.Encoder().encode


def arguments(changes: Sequence[tuple[Change, str]]) -> list[Any]:
    """Return the script's arguments for *changes*, each with its text."""
    flat: list[Any] = []
    for change, text in changes:
        flat.append(_encode(change))
        flat.append(text)
    return flat


def presumption(
    instance_id: str,
    current: InstanceStatus,
    code: InstanceErrorCode | None,
    info: str,
    *,
    to: InstanceStatus | None = None,
) -> Change:
    """Return the control plane's guess about a silent host.

    Args:
        to: the status to presume where it is not the one that *code* stands for.
    """
    status = to or (INSTANCE_ERRORS[code].status if code else InstanceStatus.CANCELLED)
    return Change(
        i=instance_id, kind="presume", from_=current, to=status, error_code=code, error_info=info, presumed=True
    )
