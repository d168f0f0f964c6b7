"""Reading what came down: strictly, but so that whoever sent something newer still gets an answer."""

from typing import NamedTuple

import msgspec

from fleethand_common.errors import ExecutionError
from fleethand_common.ids import is_instance_id
from fleethand_common.instance_errors import InstanceErrorCode
from fleethand_common.messages import PROTOCOL_VERSION, ExecutionOrder, StopOrder


class _Execute(msgspec.Struct, frozen=True):
    order: ExecutionOrder


class _Stop(msgspec.Struct, frozen=True):
    order: StopOrder


class _Peek(msgspec.Struct, frozen=True):
    invocation_id: str
    version: int = PROTOCOL_VERSION


class _Peeked(msgspec.Struct, frozen=True):
    order: _Peek


_decode_execute = msgspec.json.Decoder(tuple[list[object], _Execute, dict[str, object]]).decode
_decode_stop = msgspec.json.Decoder(tuple[list[object], _Stop, dict[str, object]]).decode
_peek = msgspec.json.Decoder(tuple[list[object], _Peeked, dict[str, object]]).decode


class Unreadable(NamedTuple):
    """An order that this worker cannot take, with what to answer."""

    invocation_id: str
    error: ExecutionError


def read_execute(body: bytes | str) -> ExecutionOrder | Unreadable:
    """Read a message's body.

    Raises:
        ValueError: it does not even say which invocation it belongs to.
    """
    try:
        order = _decode_execute(body)[1].order
    except msgspec.DecodeError as error:
        return _answer(body, error)
    return _check(order, body)


def read_stop(body: bytes | str) -> StopOrder | Unreadable:
    """Read a message's body.

    Raises:
        ValueError: it does not even say which invocation it belongs to.
    """
    try:
        order = _decode_stop(body)[1].order
    except msgspec.DecodeError as error:
        return _answer(body, error)
    if not is_instance_id(order.invocation_id):
        raise ValueError("the invocation id is not one")
    return order


def _check(order: ExecutionOrder, body: bytes | str) -> ExecutionOrder | Unreadable:
    if order.version > PROTOCOL_VERSION:
        return _answer(body, None)
    if not is_instance_id(order.invocation_id):
        raise ValueError("the invocation id is not one")
    return order


def _answer(body: bytes | str, cause: msgspec.DecodeError | None) -> Unreadable:
    try:
        peeked = _peek(body)[1].order
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
