"""Requests: what each field takes, and with which code it refuses."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.errors import RequestError
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import content
from fleethand_dispatcher.requests import CommandRequest, InvokeRequest, TargetsRequest, check_statuses, parse
from refusals import refusal_of

SIGNS = set(string.ascii_letters + string.digits + "._-")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(None, None), (1, "1"), ("25", "25"), (" 10% ", "10%"), ("0.5%", "0.5%"), ("100%", "100%"), (10**9, "1000000000")],
)
def test_limit_is_a_number_or_a_share(limit: object, expected: str | None) -> None:
    """As text, whatever it came as."""
    assert expected == parse(TargetsRequest, {"limit": limit}).limit


@pytest.mark.parametrize("limit", [0, -1, "0", "-5%", "0%", "100.1%", "%", "ten", "", "1e", 1.5, True, "inf%", "nan%"])
def test_limit_refuses_what_is_neither(limit: object) -> None:
    """Nothing, more than all, and what is no number; the message shows both ways to write one."""
    with pytest.raises(RequestError, match="like 25 or 10%") as caught:
        parse(TargetsRequest, {"limit": limit})

    assert caught.value.code == "InvalidParameter.Limit"


def test_one_instance_or_name_may_be_a_text() -> None:
    """`instance_ids="web-1"` means that one, not five letters."""
    request = parse(TargetsRequest, {"instance_ids": "web-1", "names": "web-*"})

    assert (("web-1",), ("web-*",)) == (request.instance_ids, request.names)


def test_duplicate_instances_collapse_in_the_callers_order() -> None:
    """The first place counts."""
    assert parse(TargetsRequest, {"instance_ids": ["b", "a", "b"]}).instance_ids == ("b", "a")


@given(st.text(max_size=70))
def test_instance_id_is_taken_or_refused_with_its_code(text: str) -> None:
    """Whatever is taken can be part of a key and of a queue's name."""
    error = refusal_of(lambda: parse(TargetsRequest, {"instance_ids": [text]}))

    fits = text.isascii() and 1 <= len(text) <= 64 and not set(text) - SIGNS and text[0].isalnum()
    assert fits == (error is None)
    assert error is None or error.code in {"InvalidInstanceId.Malformed", "InvalidParameter"}


@pytest.mark.parametrize(
    ("kind", "values", "named"),
    [
        (CommandRequest, {"timeout_s": "soon"}, "'soon' for timeout_s"),
        (CommandRequest, {"timeout_s": 1.5}, "1.5 for timeout_s"),
        (CommandRequest, {"colour": "red"}, "'red' for colour"),
        (CommandRequest, {"name": None}, "name"),
        (InvokeRequest, {"deliver_within_s": "1h"}, "'1h' for deliver_within_s"),
        (InvokeRequest, {"dry_run": "perhaps"}, "'perhaps' for dry_run"),
        (TargetsRequest, {"all_instances": "perhaps"}, "'perhaps' for all_instances"),
        (TargetsRequest, {"tags": ["env=prod"]}, "tags"),
    ],
)
def test_value_of_a_wrong_type_is_named_with_its_field(kind, values: dict[str, object], named: str) -> None:
    """One code for all, and the message says which field and what it got."""
    with pytest.raises(RequestError) as caught:
        parse(kind, values)

    assert caught.value.code == "InvalidParameter"
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (InvokeRequest, {"parameters": ["hunter2"]}),
        (InvokeRequest, {"parameters": "hunter2"}),
        (CommandRequest, {"parameter_definitions": "hunter2"}),
        (CommandRequest, {"parameter_definitions": ({"parameter_name": "a", "default_value": 42},)}),
        (CommandRequest, {"parameter_definitions": ({"parameter_name": "a", "hunter2": "x"},)}),
    ],
)
def test_refusal_of_parameters_shows_no_value(kind, values: dict[str, object]) -> None:
    """A wrong type may still be a secret; the error's cause must not hold it either."""
    with pytest.raises(RequestError) as caught:
        parse(kind, values)

    shown = f"{caught.value} {caught.value.__cause__}"
    assert "42" not in shown
    assert "'hunter2'" not in shown


@given(st.text(max_size=140))
def test_name_is_taken_or_refused_with_its_code(text: str) -> None:
    """Whatever is taken can be written as UTF-8 and printed on one line."""
    error = refusal_of(lambda: parse(CommandRequest, {"name": text}))

    printable = content.is_text(text) and not any(ord(sign) < 32 or ord(sign) == 127 for sign in text)
    assert (printable and len(text) <= 128) == (error is None)
    assert error is None or error.code in {"CmdName.ExceedLimit", "InvalidParameterCharacter.CommandName"}


def test_statuses_are_taken_in_any_case_and_one_may_be_a_text() -> None:
    """As a person writes them."""
    assert check_statuses(["failed", "TIMEOUT"]) == [InstanceStatus.FAILED, InstanceStatus.TIMEOUT]
    assert check_statuses("Success") == [InstanceStatus.SUCCESS]
    with pytest.raises(RequestError, match="PartialFailed"):
        check_statuses("PartialFailed")
