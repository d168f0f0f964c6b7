"""What a call is refused with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fleethand_common.errors import RequestError


def refusal_of(call: Callable[[], object]) -> RequestError | None:
    """Return the error that a call is refused with, None if it is not."""
    try:
        call()
    except RequestError as error:
        return error
    return None


@contextmanager
def refused(code: str) -> Iterator[None]:
    """Expect the refusal with *code* of what is called inside."""
    with pytest.raises(RequestError) as caught:
        yield
    assert caught.value.code == code, caught.value
