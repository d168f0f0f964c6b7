"""The errors that Fleethand raises."""

from fleethand_common.errors import FleethandError, RequestError, ServerUnavailableError, WaitTimeoutError


def test_error_explains_itself_when_no_message_is_given() -> None:
    """The docstring is the message."""
    assert str(WaitTimeoutError()) == "The wait ran out; the invocation goes on."
    assert "--redis-url" in str(ServerUnavailableError())


def test_error_says_what_it_was_told() -> None:
    """A message replaces the docstring."""
    assert str(FleethandError("cannot do it")) == "cannot do it"


def test_request_error_has_the_code_of_the_api() -> None:
    """The code is stable and the caller's to compare."""
    error = RequestError("InvalidParameter", "cannot do it", http_status=404)

    assert (error.code, error.http_status, str(error)) == ("InvalidParameter", 404, "cannot do it")
