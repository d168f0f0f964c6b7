"""Content and parameter values: sizes, names, definitions, and what a value may be."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.errors import RequestError
from fleethand_dispatcher import content
from fleethand_dispatcher.models import ParameterDefinition
from refusals import refusal_of


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_base64_size_is_the_length_of_the_base64_form(text: str) -> None:
    """Measured without making it."""
    assert len(base64.b64encode(text.encode())) == content.base64_size(text)


@given(
    st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip), st.sampled_from(["Base64", "BASE64", "base64"])
)
def test_decode_returns_what_was_encoded_when_it_is_base64(text: str, encoding: str) -> None:
    """In any case of the word, and with line ends in between, as tools wrap it."""
    wrapped = base64.encodebytes(text.encode()).decode()

    assert text == content.decode(wrapped, encoding, 10**6)


@pytest.mark.parametrize("encoding", ["PlainText", "gzip", "", "base-64", "plaintext"])
def test_decode_takes_everything_else_as_plain_text(encoding: str) -> None:
    """As in the API, an unknown encoding is not an error."""
    assert content.decode("ZQ==", encoding, 100) == "ZQ=="


@given(st.text())
def test_decode_refuses_or_returns_but_never_breaks(text: str) -> None:
    """Whatever is called Base64 is content or a refusal with a code."""
    for encoding in ("Base64", "PlainText"):
        error = refusal_of(lambda encoding=encoding: content.decode(text, encoding, 100))
        assert error is None or error.code in {
            "CmdContent.DecodeError",
            "CmdContent.ExceedLimit",
            "MissingParameter.CommandContent",
            "InvalidParameter",
        }


@pytest.mark.parametrize(("size", "fits"), [(3, True), (4, False)])
def test_check_size_includes_its_bound(size: int, *, fits: bool) -> None:
    """Four bytes of Base64 are three of content."""
    if fits:
        content.check_size("x" * size, 4)
    else:
        with pytest.raises(RequestError, match=r"8 bytes; 4 are allowed"):
            content.check_size("x" * size, 4)


def test_parameter_names_are_found_once_and_built_ins_left_out() -> None:
    """In the order and spelling in which each first appears."""
    text = "{{B}}{{ a }}{{b}}{{ACS::InstanceId}}{{Fleethand::Whatever}}"

    assert content.parameter_names(text, interpolation="text") == ("B", "a")


@pytest.mark.parametrize("count", [20, 21])
def test_parameter_names_counts_distinct_names(count: int) -> None:
    """Twenty names, however often each is used."""
    text = "".join(f"{{{{p{number}}}}}{{{{P{number}}}}}" for number in range(count))
    if count == 20:
        assert len(content.parameter_names(text, interpolation="text")) == 20
    else:
        with pytest.raises(RequestError, match="21 names were found; 20"):
            content.parameter_names(text, interpolation="text")


def test_check_values_prefers_what_is_passed_to_a_default_to_nothing() -> None:
    """A default makes a parameter optional, also when nothing is passed at all."""
    definitions = [ParameterDefinition(parameter_name="A", default_value="d")]

    def check(values, names=("a", "b")):
        return content.check_values(values, names, definitions, enabled=True)

    assert check({"b": "1"}) == {"a": "d", "b": "1"}
    assert check({"A": "x"}) == {"a": "x", "b": ""}
    assert check(None, ("a",)) == {"a": "d"}
    assert check({"a": ""}, ("a",)) == {"a": ""}
    with pytest.raises(RequestError, match="Give a value for: b"):
        check({})


def test_check_values_wants_what_is_required_though_others_are_passed() -> None:
    """Required, and a default: the default is enough."""
    needed = ParameterDefinition(parameter_name="a", required=True)
    helped = needed.model_copy(update={"default_value": "d"})

    with pytest.raises(RequestError) as caught:
        content.check_values({"b": "1"}, ("a", "b"), [needed], enabled=True)
    assert caught.value.code == "Parameter.MissingValue"
    assert content.check_values({"b": "1"}, ("a", "b"), [helped], enabled=True) == {"a": "d", "b": "1"}


def test_pattern_must_match_the_whole_value() -> None:
    """A line end behind a good value is not a good value."""
    definition = ParameterDefinition(parameter_name="a", pattern_regex="[0-9]+$")
    for value in ("1\n", "1; rm -rf /", " 1"):
        with pytest.raises(RequestError, match="must match"):
            content.check_values({"a": value}, ("a",), [definition], enabled=True)
    assert content.check_values({"a": "12"}, ("a",), [definition], enabled=True) == {"a": "12"}


@given(st.dictionaries(st.sampled_from("abcABC"), st.text(), max_size=6), st.sets(st.sampled_from("abcABC")))
def test_mask_hides_secrets_in_any_spelling_and_nothing_else(values: dict[str, str], secret: set[str]) -> None:
    """The names stay; a value's length does not show."""
    folded = {name.lower() for name in secret}

    masked = content.mask(values, sorted(secret))

    assert {name: "******" if name.lower() in folded else value for name, value in values.items()} == masked


@pytest.mark.parametrize(("text", "expected"), [("", True), ("☃", True), ("a\ud800", False), ("\udfff", False)])
def test_is_text_refuses_a_lone_surrogate(text: str, *, expected: bool) -> None:
    """Python holds it, no encoding does."""
    assert expected == content.is_text(text)
