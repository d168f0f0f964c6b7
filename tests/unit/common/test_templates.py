"""Filling `{{name}}` in a command's content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.commands import CommandType, Interpolation
from fleethand_common.errors import ExecutionError
from fleethand_common.templates import (
    BUILT_INS,
    custom_names,
    environment_name,
    fill,
    fill_from_environment,
    render,
)

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,16}", fullmatch=True)
PLAIN = st.text().filter(lambda text: "{" not in text and "}" not in text)


@given(before=PLAIN, name=NAMES, value=st.text(), after=PLAIN)
def test_fill_puts_the_value_in_as_it_is(before: str, name: str, value: str, after: str) -> None:
    """Whatever a value holds, it stands in the content unchanged and nothing else changes."""
    assert before + value + after == fill(f"{before}{{{{{name}}}}}{after}", {name: value}, {})


@given(names=st.lists(NAMES, min_size=2, max_size=5, unique_by=str.lower))
def test_fill_does_not_scan_a_value_again_when_it_looks_like_a_placeholder(names: list[str]) -> None:
    """Each value names the next placeholder, and all of them stay text."""
    values = {name: f"{{{{{following}}}}}" for name, following in zip(names, names[1:] + names[:1], strict=True)}

    filled = fill("|".join(f"{{{{{name}}}}}" for name in names), values, {})

    assert filled == "|".join(values[name] for name in names)


def test_fill_does_not_build_a_placeholder_from_a_value_and_its_surroundings() -> None:
    """Braces that come together only after the filling are text."""
    assert fill("{{{{a}}}}", {"a": "b", "b": "wrong"}, {}) == "{{b}}"


@given(name=NAMES)
def test_fill_finds_a_value_when_the_case_differs(name: str) -> None:
    """Names are compared without case."""
    assert fill(f"{{{{{name.upper()}}}}}", {name.lower(): "value"}, {}) == "value"


@pytest.mark.parametrize("content", ["{{name}}", "{{ name }}", "{{\tname\n}}", "{{NAME}}"])
def test_fill_ignores_space_inside_the_braces(content: str) -> None:
    """Space around a name belongs to the placeholder."""
    assert fill(content, {"name": "x"}, {}) == "x"


def test_fill_leaves_nothing_when_a_name_has_no_value() -> None:
    """A name without a value becomes an empty string."""
    assert fill("[{{name}}]", {}, {}) == "[]"


@pytest.mark.parametrize("content", ["", "{name}", "{{name}", "${name}", "{ {name} }", "}}{{"])
def test_fill_changes_nothing_when_there_is_no_placeholder(content: str) -> None:
    """Only a name in two pairs of braces is a placeholder."""
    assert fill(content, {"name": "x"}, {}) == content


@pytest.mark.parametrize("name", BUILT_INS)
@pytest.mark.parametrize("form", ["{{{{ACS::{}}}}}", "{{{{Fleethand::{}}}}}", "{{{{ ACS :: {} }}}}"])
def test_fill_takes_built_ins_under_either_prefix(form: str, name: str) -> None:
    """Each documented built-in can be written with the API's prefix or ours."""
    assert fill(form.format(name), {}, {name: "value"}) == "value"


def test_fill_raises_when_a_built_in_does_not_exist() -> None:
    """An unknown built-in makes the instance Invalid, and the message names the known ones."""
    with pytest.raises(ExecutionError, match="RegionId") as raised:
        fill("{{ACS::Nothing}}", {}, {"RegionId": "local"})

    assert raised.value.code == "InvalidSystemBuiltInParameter"


def test_fill_does_not_take_a_custom_value_for_a_built_in() -> None:
    """A caller cannot replace what the system fills in."""
    assert fill("{{ACS::InstanceId}}", {"ACS::InstanceId": "forged"}, {"InstanceId": "host-1"}) == "host-1"


def test_custom_names_are_listed_once_as_first_spelled() -> None:
    """Names are compared without case, kept in order, and built-ins are left out."""
    assert custom_names("{{b}} {{A}} {{ B }} {{ACS::InstanceId}} {{a}}") == ("b", "A")


@given(values=st.dictionaries(NAMES, st.text(min_size=1), min_size=1, max_size=5))
def test_env_interpolation_keeps_every_value_out_of_the_content(values: dict[str, str]) -> None:
    """Under `env` the content is the same whatever the values are; they stand in the environment only."""
    content = " ".join(f"{{{{{name}}}}}" for name in values)

    filled, environment = fill_from_environment(content, values, {}, CommandType.SHELL)
    same, _ = fill_from_environment(content, dict.fromkeys(values, ""), {}, CommandType.SHELL)

    assert same == filled
    assert {environment_name(name) for name in values} == set(environment)


@pytest.mark.parametrize(
    ("command_type", "expected"),
    [
        (CommandType.SHELL, "echo ${FLEETHAND_PARAM_MY_NAME}"),
        (CommandType.POWERSHELL, "echo ${env:FLEETHAND_PARAM_MY_NAME}"),
        (CommandType.BAT, "@setlocal EnableDelayedExpansion\r\necho !FLEETHAND_PARAM_MY_NAME!"),
    ],
)
def test_env_interpolation_refers_as_each_shell_does(command_type: CommandType, expected: str) -> None:
    """A placeholder becomes the interpreter's own reference to the variable."""
    filled, environment = fill_from_environment("echo {{my-name}}", {"My-Name": "$(id)"}, {}, command_type)

    assert expected == filled
    assert environment == {"FLEETHAND_PARAM_MY_NAME": "$(id)"}


def test_env_interpolation_adds_nothing_when_no_parameter_is_used() -> None:
    """A batch file without placeholders runs as it was written."""
    assert fill_from_environment("echo hi", {"a": "b"}, {}, CommandType.BAT) == ("echo hi", {})


@pytest.mark.parametrize(
    ("interpolation", "expected"),
    [
        (Interpolation.TEXT, ("echo 1 host-1", {})),
        (Interpolation.ENV, ("echo ${FLEETHAND_PARAM_N} host-1", {"FLEETHAND_PARAM_N": "1"})),
    ],
)
def test_render_follows_the_interpolation(interpolation: Interpolation, expected: tuple[str, dict[str, str]]) -> None:
    """Built-ins are replaced as text either way; custom values as the command asks."""
    rendered = render(
        "echo {{n}} {{ACS::InstanceId}}", {"n": "1"}, {"InstanceId": "host-1"}, CommandType.SHELL, interpolation
    )

    assert expected == rendered
