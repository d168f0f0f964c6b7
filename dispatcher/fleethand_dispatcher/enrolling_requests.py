"""The requests about activations and managed instances, checked with the spec's codes (12.1, 12.3 and 1.9)."""

import ipaddress
import re
from collections.abc import Mapping

from pydantic import field_validator

from fleethand_common import limits
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.requests import Request, check_client_token

_NAME = re.compile(r"[^\W\d_][\w.:-]*")
_ADDRESS = re.compile(r"https?://")


class ActivationRequest(Request):
    """A new activation; bounds that are settings are checked by `Activations`."""

    instance_name: str = ""
    description: str = ""
    instance_count: int = limits.ACTIVATION_INSTANCES_DEFAULT
    time_to_live_in_hours: int = limits.ACTIVATION_TTL_DEFAULT_H
    ip_address_range: str = ""
    tags: Mapping[str, str] = {}
    client_token: str | None = None

    @field_validator("instance_name")
    @classmethod
    def _prefix_fits(cls, value: str) -> str:
        return check_instance_name(value, limits.INSTANCE_NAME_PREFIX_CHARS) if value else value

    @field_validator("description")
    @classmethod
    def _description_fits(cls, value: str) -> str:
        most = limits.ACTIVATION_DESCRIPTION_CHARS
        if len(value) > most:
            raise refusal("ActivationDesc.ExceedLimit", f"It has {len(value)} characters; {most} are allowed.")
        return value

    @field_validator("ip_address_range")
    @classmethod
    def _range_is_one(cls, value: str) -> str:
        if value:
            network_of(value)
        return value

    @field_validator("tags")
    @classmethod
    def _tags_fit(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        return check_tags(value)

    @field_validator("client_token")
    @classmethod
    def _token_fits(cls, value: str | None) -> str | None:
        return check_client_token(value)


def check_instance_name(value: str, bounds: tuple[int, int] = limits.INSTANCE_NAME_CHARS) -> str:
    """Refuse a name, or a prefix of names, that is too short or long, or has other characters than may be in it."""
    least, most = bounds
    if not least <= len(value) <= most:
        raise refusal("InstanceName.ExceedLimit", f"{value[:80]!r} has {len(value)} characters, not {least} to {most}.")
    if not _NAME.fullmatch(value) or _ADDRESS.match(value):
        allowed = "a letter first, then letters, digits, '.', '_', '-' and ':'"
        raise refusal("InstanceName.InvalidPattern", f"Cannot use {value!r}: {allowed}; no http:// or https://.")
    return value


def check_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    """Refuse tags that break the rules of API 1.9."""
    if len(tags) > limits.TAGS:
        raise refusal("NumberExceed.Tags", f"{len(tags)} tags were given; {limits.TAGS} are allowed.")
    for key, value in tags.items():
        if not key:
            raise refusal("MissingParameter.TagKey", "A tag has an empty key.")
        if len(key) > limits.TAG_KEY_CHARS or key.startswith(("aliyun", "acs:")) or _ADDRESS.search(key):
            bound = f"1 to {limits.TAG_KEY_CHARS} characters, not beginning with aliyun or acs:, without http(s)://"
            raise refusal("InvalidTagKey.Malformed", f"Cannot use {key[:80]!r}: {bound}.")
        if len(value) > limits.TAG_VALUE_CHARS or _ADDRESS.search(value):
            bound = f"at most {limits.TAG_VALUE_CHARS} characters, without http(s)://"
            raise refusal("InvalidTagValue.Malformed", f"Cannot use the value of {key!r}: {bound}.")
    return tags


def network_of(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network that an address or a CIDR stands for."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise refusal("AddressRange.InvalidPattern", f"Cannot use {text!r}: write 10.0.0.7 or 10.0.0.0/16.") from None
