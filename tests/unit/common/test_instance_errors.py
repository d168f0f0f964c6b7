"""The instance-level error codes."""

import pytest

from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.states import FAILED_KIND


@pytest.mark.parametrize("code", InstanceErrorCode)
def test_error_code_leads_to_a_failed_status_and_a_sentence(code: InstanceErrorCode) -> None:
    """A code explains a failure, and its text can be shown to an operator."""
    error = INSTANCE_ERRORS[code]

    assert error.status in FAILED_KIND
    assert error.info[0].isupper()
    assert error.info.endswith(".")


def test_error_codes_are_spelled_as_their_names() -> None:
    """`CLIENT_NOT_ONLINE` is `ClientNotOnline`."""
    for code in InstanceErrorCode:
        assert code.value == "".join(word.capitalize() for word in code.name.split("_"))
