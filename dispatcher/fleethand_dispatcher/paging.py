"""Opaque tokens for the next page, and the checks of a page's size (spec 1.8)."""

import base64
import binascii
from typing import Any, TypeVar

import msgspec

from fleethand_common import limits
from fleethand_dispatcher.api_errors import refusal

T = TypeVar("T")


def check_size(max_results: int) -> int:
    """Refuse a page that is empty or too large."""
    if not isinstance(max_results, int) or not 1 <= max_results <= limits.PAGE_MAX:
        raise refusal("InvalidParameter.MaxResults", f"Cannot use {max_results!r}: it must be 1 to {limits.PAGE_MAX}.")
    return max_results


def token(position: Any) -> str:
    """Return a token for *position*, where the next page begins."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


def position(text: str, kind: type[T]) -> T | None:
    """Return the position that a token stands for; None for an empty one."""
    if not text:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text.encode()), type=kind)
    except (binascii.Error, ValueError) as error:
        raise refusal("InvalidParameter.NextToken", f"Cannot use {text!r}.") from error
