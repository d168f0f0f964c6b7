"""Reading what came down and was found genuine; strictly, but whoever sent something newer still gets an answer."""

from typing import NamedTuple

import msgspec

from fleethand_common.errors import ExecutionError
from fleethand_common.ids import is_instance_id
from fleethand_common.instance_errors import InstanceErrorCode
from fleethand_common.messages import PROTOCOL_VERSION, ExecutionOrder, StopOrder, decode_order, decode_stop


class _Peek(msgspec.Struct, frozen=True):
    invocation_id: str
    version: int = PROTOCOL_VERSION


_peek = msgspec.json.Decoder(_Peek).decode


class Unreadable(NamedTuple):
    """An order that this worker cannot take, with what to answer."""

    invocation_id: str
    error: ExecutionError


def read_execute(message: bytes) -> ExecutionOrder | Unreadable:
    """Read an order that was opened.

    Raises:
        ValueError: it does not even say which invocation it belongs to.
    """
    try:
        order = decode_order(message)
    except msgspec.DecodeError as error:
        return _answer(message, error)
    return order if _is_ours(order.invocation_id, order.version) else _answer(message, None)


def read_stop(message: bytes) -> StopOrder | Unreadable:
    """Read a stop that was opened.

    Raises:
        ValueError: it does not even say which invocation it belongs to.
    """
    try:
        order = decode_stop(message)
    except msgspec.DecodeError as error:
        return _answer(message, error)
    return order if _is_ours(order.invocation_id, order.version) else _answer(message, None)


def _is_ours(invocation_id: str, version: int) -> bool:
    if not is_instance_id(invocation_id):
        raise ValueError("the invocation id is not one")
    return version <= PROTOCOL_VERSION


def _answer(message: bytes, cause: msgspec.DecodeError | None) -> Unreadable:
    try:
        peeked = _peek(message)
    except msgspec.DecodeError:
        raise ValueError("this is not an order") from None
    if not is_instance_id(peeked.invocation_id):
        raise ValueError("the invocation id is not one")
    if peeked.version > PROTOCOL_VERSION:
        text = f"cannot read an order of protocol {peeked.version}: this worker knows up to {PROTOCOL_VERSION}"
        return Unreadable(peeked.invocation_id, ExecutionError(InstanceErrorCode.CLIENT_NEED_UPGRADE, text))
    # msgspec names the place and the type, never the value.
    error = ExecutionError(InstanceErrorCode.EXECUTION_EXCEPTION, f"cannot read the order: {cause}")
    return Unreadable(peeked.invocation_id, error)
