"""The table of codes: complete, and each refusal of the code is in it."""

import re
from pathlib import Path

import pytest

import fleethand_dispatcher
from fleethand_dispatcher.api_errors import API_ERRORS, refusal

OTHER_STATUS = {"InvalidResourceTag.InstanceNotFound", "InvalidAccessKeyId.NotFound"}
"""Not found, and still 400 in the API."""
SOURCES = [path for path in Path(fleethand_dispatcher.__file__).parent.rglob("*.py") if path.name != "api_errors.py"]


def test_every_code_that_is_used_is_in_the_table_and_every_one_there_is_used() -> None:
    """A code that nothing raises would be a promise to nobody."""
    text = "".join(path.read_text() for path in SOURCES)
    used = {code for code in re.findall(r'"([A-Za-z.]+)"', text) if code in API_ERRORS}
    raised = set(re.findall(r'refusal\(\s*"([A-Za-z.]+)"', text))

    assert raised - set(API_ERRORS) == set()
    assert set(API_ERRORS) - used == set()


def test_coarser_codes_are_codes_too() -> None:
    """A door that speaks the API's own words can translate each finer code."""
    assert {error.api_code for error in API_ERRORS.values()} - {""} == {"InvalidParam.Frequency"}
    assert not API_ERRORS["InvalidParam.Frequency"].api_code


@pytest.mark.parametrize("code", sorted(API_ERRORS))
def test_refusal_carries_the_code_its_http_status_and_a_sentence(code: str) -> None:
    """The detail stands behind the API's own message."""
    error = refusal(code, "More.")

    assert (code, API_ERRORS[code].http_status) == (error.code, error.http_status)
    assert str(error) == f"{API_ERRORS[code].message} More."
    assert error.http_status in {400, 403, 404, 409, 429}
    assert API_ERRORS[code].message.endswith(".")
    assert code.endswith("NotFound") == (error.http_status == 404) or code in OTHER_STATUS
