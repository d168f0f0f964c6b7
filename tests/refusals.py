"""What a call is refused with."""

from collections.abc import Callable

from fleethand_common.errors import RequestError


def refusal_of(call: Callable[[], object]) -> RequestError | None:
    """Return the error that a call is refused with, None if it is not."""
    try:
        call()
    except RequestError as error:
        return error
    return None
