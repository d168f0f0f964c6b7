"""What crosses the wire: it survives the journey, and nothing else is taken."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common import messages
from fleethand_common.commands import CommandType
from fleethand_common.messages import (
    Accepted,
    ExecutionOrder,
    Finished,
    Heartbeat,
    OutputChunk,
    Report,
    Started,
    StopOrder,
    decode_order,
    decode_report,
    decode_stop,
    encode,
)
from fleethand_common.states import InstanceStatus

ORDER = ExecutionOrder(
    invocation_id="t-1",
    command_id="c-1",
    command_type=CommandType.SHELL,
    content="echo hi",
    timeout_s=60,
    stop_grace_s=5.0,
    output_limit_bytes=24576,
    created_at_ms=1,
    deliver_before_ms=2,
)
STOP = StopOrder(invocation_id="t-1", deliver_before_ms=2)
REPORTS: list[Report] = [
    Accepted(instance_id="host-1", invocation_id="t-1", at_ms=1),
    Started(instance_id="host-1", invocation_id="t-1", started_at_ms=1),
    OutputChunk(instance_id="host-1", invocation_id="t-1", offset=0, data="grün\x00"),
    Finished(instance_id="host-1", invocation_id="t-1", status=InstanceStatus.SUCCESS, finished_at_ms=2, exit_code=0),
    Heartbeat(
        instance_id="host-1",
        at_ms=1,
        interval_s=30,
        name="host",
        os_type="Linux",
        os_version="12",
        worker_version="0.1.0",
        time_zone="UTC",
        boot_id="b",
        tags={"role": "web"},
        running=["t-1"],
    ),
]
DECODERS = (decode_order, decode_stop, decode_report)
EXAMPLES = [(ORDER, decode_order), (STOP, decode_stop), *((report, decode_report) for report in REPORTS)]
BY_KIND = pytest.mark.parametrize(("message", "decode"), EXAMPLES, ids=lambda value: type(value).__name__)


@BY_KIND
def test_message_survives_the_wire(message: Any, decode: Any) -> None:
    """What is decoded equals what was encoded."""
    assert message == decode(encode(message))


@BY_KIND
def test_message_is_refused_when_a_field_is_unknown(message: Any, decode: Any) -> None:
    """A field that this version does not know could change the meaning; it is not skipped."""
    with pytest.raises(ValueError, match="unknown"):
        decode(json.dumps({**json.loads(encode(message)), "unknown": 1}))


@BY_KIND
def test_message_is_refused_when_a_needed_field_is_missing(message: Any, decode: Any) -> None:
    """Each field without a default must be there."""
    whole = json.loads(encode(message))
    for field in msgspec.structs.fields(message):
        if field.required:
            with pytest.raises(ValueError, match=field.encode_name):
                decode(json.dumps({name: value for name, value in whole.items() if name != field.encode_name}))


@BY_KIND
def test_message_is_refused_when_a_value_has_another_type(message: Any, decode: Any) -> None:
    """A number is not a text, and a text is not a number; nothing is converted."""
    whole = json.loads(encode(message))
    for name, value in whole.items():
        wrong = 7 if isinstance(value, str) else "7"
        with pytest.raises(ValueError):
            decode(json.dumps({**whole, name: wrong}))


@BY_KIND
def test_message_is_told_apart_from_the_others(message: Any, decode: Any) -> None:
    """An order is no stop and a stop no report."""
    for other in DECODERS:
        if other is not decode:
            with pytest.raises(ValueError):
                other(encode(message))


@given(st.binary())
def test_decoders_raise_value_error_when_the_bytes_are_anything(noise: bytes) -> None:
    """Whatever arrives, there is one kind of error to catch, and no crash."""
    for decode in DECODERS:
        with pytest.raises(ValueError):
            decode(noise)


@given(content=st.text(), parameters=st.dictionaries(st.text(), st.text()))
def test_order_carries_any_text(content: str, parameters: dict[str, str]) -> None:
    """Content and values keep every character."""
    order = msgspec.structs.replace(ORDER, content=content, parameters=parameters)

    assert order == decode_order(encode(order))


@pytest.mark.parametrize("status", InstanceStatus)
def test_finished_carries_every_status(status: InstanceStatus) -> None:
    """Statuses travel as they are spelled in the API."""
    finished = Finished(instance_id="i", invocation_id="t", status=status, finished_at_ms=1)

    assert json.loads(encode(finished))["status"] == status.value
    assert finished == decode_report(encode(finished))


def test_report_names_its_kind() -> None:
    """The kinds on the wire are part of the protocol."""
    kinds = [json.loads(encode(report))["kind"] for report in REPORTS]

    assert kinds == ["accepted", "started", "output", "finished", "heartbeat"]


def test_every_message_says_its_version() -> None:
    """The version is written even where it is the default, so that an older reader can see it."""
    for message, _ in EXAMPLES:
        assert json.loads(encode(message))["version"] == messages.PROTOCOL_VERSION
