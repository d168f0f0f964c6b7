"""Tokens for the next page: opaque, harmless when forged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.errors import RequestError
from fleethand_dispatcher import paging
from refusals import refusal_of


@given(st.tuples(st.integers(0, 10**14), st.text(st.characters(exclude_categories=["Cs"]))))
def test_token_leads_back_to_its_position(place: tuple[int, str]) -> None:
    """And can stand in a URL."""
    token = paging.token(place)

    assert place == paging.position(token, tuple[int, str])
    assert token.replace("-", "").replace("_", "").replace("=", "").isalnum()


def test_empty_token_is_the_beginning() -> None:
    """The first call has none."""
    assert paging.position("", int) is None


@given(st.text(min_size=1))
def test_forged_token_is_a_position_or_refused(text: str) -> None:
    """It never breaks a call."""
    for kind in (int, str, tuple[int, str]):
        error = refusal_of(lambda kind=kind: paging.position(text, kind))
        assert error is None or (error.code == "InvalidParameter.NextToken" and repr(text) in str(error))


@pytest.mark.parametrize("size", [0, 51, -1, "10", 1.0, None])
def test_page_size_is_a_number_from_1_to_50(size: object) -> None:
    """The message names the value and the bounds."""
    with pytest.raises(RequestError, match=r"1 to 50") as caught:
        paging.check_size(size)  # type: ignore[arg-type]

    assert caught.value.code == "InvalidParameter.MaxResults"
    assert [1, 50] == [paging.check_size(size) for size in (1, 50)]
