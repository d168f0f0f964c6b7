"""The rules of activations and names, with the API's codes and texts (12.1, 12.3 and 1.9)."""

from typing import Any

import pytest

from fleethand_dispatcher.enrolling_requests import ActivationRequest, check_instance_name
from fleethand_dispatcher.requests import parse
from refusals import refusal_of


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"instance_name": "a"}, "InstanceName.ExceedLimit"),
        ({"instance_name": "a" * 51}, "InstanceName.ExceedLimit"),
        ({"instance_name": "1web"}, "InstanceName.InvalidPattern"),
        ({"instance_name": "_web"}, "InstanceName.InvalidPattern"),
        ({"instance_name": "web 1"}, "InstanceName.InvalidPattern"),
        ({"instance_name": "http://web"}, "InstanceName.InvalidPattern"),
        ({"description": "d" * 101}, "ActivationDesc.ExceedLimit"),
        ({"ip_address_range": "10.0.0.0/33"}, "AddressRange.InvalidPattern"),
        ({"ip_address_range": "everywhere"}, "AddressRange.InvalidPattern"),
        ({"tags": {f"k{number}": "" for number in range(21)}}, "NumberExceed.Tags"),
        ({"tags": {"": "v"}}, "MissingParameter.TagKey"),
        ({"tags": {"acs:x": "v"}}, "InvalidTagKey.Malformed"),
        ({"tags": {"aliyunx": "v"}}, "InvalidTagKey.Malformed"),
        ({"tags": {"k" * 65: "v"}}, "InvalidTagKey.Malformed"),
        ({"tags": {"k": "see https://x"}}, "InvalidTagValue.Malformed"),
        ({"tags": {"k": "v" * 129}}, "InvalidTagValue.Malformed"),
        ({"client_token": "t" * 65}, "InvalidClientToken.Malformed"),
        ({"instance_count": "many"}, "InvalidParameter"),
    ],
)
def test_activation_is_refused_with_the_apis_code(values: dict[str, Any], code: str) -> None:
    """Each rule has its code."""
    error = refusal_of(lambda: parse(ActivationRequest, values))

    assert error is not None
    assert error.code == code


@pytest.mark.parametrize(
    "values",
    [
        {"instance_name": "ab", "description": "d" * 100},
        {"instance_name": "w" * 50, "ip_address_range": "10.0.0.7"},
        {"instance_name": "Web.1_a-b:c", "ip_address_range": "2001:db8::/32"},
        {"instance_name": "wéb", "tags": {"k": ""}},
        {"tags": {f"k{number}": "v" * 128 for number in range(20)}},
    ],
)
def test_activation_is_accepted_at_the_bounds(values: dict[str, Any]) -> None:
    """The bounds themselves are allowed."""
    assert refusal_of(lambda: parse(ActivationRequest, values)) is None


def test_name_of_an_instance_may_be_longer_than_a_prefix() -> None:
    """2 to 128 characters, not 2 to 50."""
    assert check_instance_name("w" * 128) == "w" * 128
    assert refusal_of(lambda: check_instance_name("w" * 129)) is not None
