"""Every limit at its bound and one beyond it, with the API's code and a message that names value and bound."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from fleethand_common import limits
from fleethand_common.errors import RequestError
from fleethand_dispatcher.models import ParameterDefinition

PLAIN_AT_18_KIB = "x" * (limits.KEPT_CONTENT_BYTES // 4 * 3)
PLAIN_AT_24_KIB = "x" * (limits.UNKEPT_CONTENT_BYTES // 4 * 3)
TWENTY = " ".join(f"{{{{p{number}}}}}" for number in range(20))


@pytest.fixture
def untouched(plane, host, redis_client: "redis.Redis[Any]") -> Callable[[], bool]:
    """Tell whether nothing was recorded or sent since the test began, but for the audit log, which has refusals too."""
    host()

    def keys() -> list[str]:
        return sorted(key for key in redis_client.keys("*") if ":day:" not in key and "audit" not in key)

    before = keys()
    return lambda: before == keys()


def refused(plane, verb: str, arguments: dict[str, Any]) -> RequestError:
    """Call a verb that must refuse."""
    with pytest.raises(RequestError) as caught:
        getattr(plane.dispatcher, verb)(**arguments)
    return caught.value


RUN: dict[str, Any] = {"command_content": "x", "instance_ids": ["host-1"]}

AT_THE_BOUND = [
    {"command_content": PLAIN_AT_24_KIB},
    {"command_content": PLAIN_AT_18_KIB, "keep_command": True, "name": "kept"},
    {"name": "n" * 128},
    {"description": "d" * 512},
    {"description": "two\nlines"},
    {"working_dir": "/" + "d" * 199},
    {"username": "u" * 255},
    {"timeout_s": 1},
    {"timeout_s": 86_400},
    {"deliver_within_s": 1},
    {"deliver_within_s": 604_800},
    {"client_token": "t" * 64},
    {"command_content": TWENTY, "enable_parameter": True, "parameters": {f"p{n}": "" for n in range(20)}},
    {"command_content": "{{" + "n" * 64 + "}}", "enable_parameter": True, "parameters": {"N" * 64: ""}},
    {"instance_ids": [f"i{number}" for number in range(5)]},
    {"instance_ids": ["A.b_c-1"]},
    {"instance_ids": ["i" * 64]},
    {"instance_ids": [], "tags": {"k" * 64: "v" * 128}, "expect": "InvalidResourceTag.InstanceNotFound"},
    {"content_encoding": "base64", "command_content": "ZWNo\nbyBo aQ=="},
    {"content_encoding": "gzip", "command_content": "ZWNobyBoaQ=="},
]

BEYOND = [
    ({"command_content": PLAIN_AT_24_KIB + "x"}, "CmdContent.ExceedLimit", ["24580", "24576"]),
    (
        {"command_content": PLAIN_AT_18_KIB + "x", "keep_command": True, "name": "n"},
        "CmdContent.ExceedLimit",
        ["18436", "18432"],
    ),
    ({"name": "n" * 129}, "CmdName.ExceedLimit", ["129", "128"]),
    ({"name": "bell\a"}, "InvalidParameterCharacter.CommandName", ["name"]),
    ({"name": "\ud800"}, "InvalidParameterCharacter.CommandName", ["name"]),
    ({"description": "d" * 513}, "CmdDesc.ExceedLimit", ["513", "512"]),
    ({"description": "\x00"}, "InvalidParameterCharacter.CommandDescription", ["description"]),
    ({"working_dir": "/" * 201}, "InvalidParameter.WorkingDir", ["201", "200"]),
    ({"working_dir": "/a\nb"}, "InvalidParameterCharacter.CommandWorkingDir", ["directory"]),
    ({"username": "u" * 256}, "Username.ExceedLimit", ["256", "255"]),
    ({"username": "a\tb"}, "InvalidParameter", ["username"]),
    ({"timeout_s": 0}, "InvalidParameter.Timeout", ["0", "1 to 86400"]),
    ({"timeout_s": 86_401}, "InvalidTimeout.ExceedLimit", ["86401", "86400"]),
    ({"timeout_s": 1.5}, "InvalidParameter", ["1.5", "timeout_s"]),
    ({"deliver_within_s": 0}, "InvalidParameter.DeliverWithin", ["0", "604800"]),
    ({"deliver_within_s": 604_801}, "InvalidParameter.DeliverWithin", ["604801", "604800"]),
    ({"client_token": "t" * 65}, "InvalidClientToken.Malformed", ["65", "64"]),
    ({"client_token": ""}, "InvalidClientToken.Malformed", ["0", "64"]),
    ({"client_token": "é"}, "InvalidClientToken.Malformed", ["é", "ASCII"]),
    ({"type": "RunPython"}, "InvalidCmdType.NotFound", ["RunPython", "RunShellScript"]),
    ({"termination_mode": "Thread"}, "InvalidTerminationMode.NotFound", ["Thread", "ProcessTree"]),
    ({"interpolation": "shell"}, "InvalidParameter.Interpolation", ["shell", "env"]),
    ({"command_content": ""}, "MissingParameter.CommandContent", []),
    ({"command_content": " \n\t"}, "MissingParameter.CommandContent", []),
    ({"command_content": "\ud800"}, "InvalidParameter", ["Unicode"]),
    ({"command_content": "%%%", "content_encoding": "Base64"}, "CmdContent.DecodeError", ["PlainText"]),
    ({"command_content": "écho", "content_encoding": "Base64"}, "CmdContent.DecodeError", ["PlainText"]),
    ({"command_content": "/////w==", "content_encoding": "Base64"}, "CmdContent.DecodeError", ["utf-8"]),
    ({"command_content": "", "content_encoding": "Base64"}, "MissingParameter.CommandContent", []),
    ({"keep_command": True}, "MissingParameter.Name", ["name"]),
    ({"instance_ids": [f"i{number}" for number in range(6)]}, "InstanceIds.ExceedLimit", ["6", "5"]),
    ({"instance_ids": ["i" * 65]}, "InvalidInstanceId.Malformed", ["64"]),
    ({"instance_ids": ["a|b"]}, "InvalidInstanceId.Malformed", ["a|b"]),
    ({"instance_ids": ["a:b"]}, "InvalidInstanceId.Malformed", ["a:b"]),
    ({"instance_ids": [""]}, "InvalidInstanceId.Malformed", ["''"]),
    ({"instance_ids": []}, "MissingParam.InstanceId", ["id, tag or name"]),
    ({"instance_ids": [], "tags": {f"k{n}": "" for n in range(21)}}, "NumberExceed.ResourceTags", ["21", "20"]),
    ({"instance_ids": [], "tags": {"k" * 65: ""}}, "InvalidResourceTagKey.Malformed", ["65", "64"]),
    ({"instance_ids": [], "tags": {"": ""}}, "InvalidResourceTagKey.Malformed", ["0", "64"]),
    ({"instance_ids": [], "tags": {"k": "v" * 129}}, "InvalidResourceTagValue.Malformed", ["129", "128"]),
    ({"limit": "0"}, "InvalidParameter.Limit", ["'0'", "10%"]),
    ({"limit": "101%"}, "InvalidParameter.Limit", ["101%"]),
    ({"limit": "half"}, "InvalidParameter.Limit", ["half"]),
    ({"limit": "nan%"}, "InvalidParameter.Limit", ["nan%"]),
    ({"limit": 0.5}, "InvalidParameter.Limit", ["0.5"]),
    ({"typo": 1}, "InvalidParameter", ["typo"]),
    ({"parameters": {"x": "1"}}, "Parameter.Disabled", ["enable_parameter"]),
]


@pytest.mark.parametrize("arguments", AT_THE_BOUND, ids=lambda value: str(value)[:40])
def test_request_is_taken_when_it_is_at_the_bound(make_plane, host, arguments: dict[str, Any]) -> None:
    """A limit includes its bound."""
    plane = make_plane(instances_per_call_max=5)
    expected = arguments.pop("expect", None)
    merged = {**RUN, **arguments}

    if expected:
        assert expected == refused(plane, "run_command", merged).code
    else:
        assert plane.dispatcher.run_command(**merged).invoke_id


@pytest.mark.parametrize(("arguments", "code", "named"), BEYOND, ids=lambda value: str(value)[:40])
def test_request_is_refused_when_it_is_beyond_the_bound(
    make_plane, untouched, arguments: dict[str, Any], code: str, named: list[str]
) -> None:
    """The code is the API's, the message names the value and the bound, and nothing was recorded or sent."""
    error = refused(make_plane(instances_per_call_max=5), "run_command", {**RUN, **arguments})

    assert code == error.code
    assert [text for text in named if text not in str(error)] == []
    assert untouched()


def test_content_beyond_the_kept_bound_is_refused_by_every_way_to_keep_it(plane, untouched) -> None:
    """18 KB to keep, 24 KB to run: measured as Base64, whatever encoding it came in."""
    error = refused(plane, "create_command", {"name": "n", "command_content": PLAIN_AT_18_KIB + "x"})
    assert error.code == "CmdContent.ExceedLimit"
    assert refused(plane, "create_command", {"name": "", "command_content": "x"}).code == "MissingParameter.Name"
    assert untouched()

    kept = plane.dispatcher.create_command(name="n", command_content=PLAIN_AT_18_KIB)
    error = refused(plane, "clone_command", {"command_id": kept.command_id, "command_content": PLAIN_AT_18_KIB + "x"})
    assert error.code == "CmdContent.ExceedLimit"


def test_unknown_content_encoding_is_plain_text(plane) -> None:
    """As in the API, an encoding that does not exist is no error; the content is taken as it stands."""
    for encoding, expected in {"gzip": "ZWNobyBoaQ==", "PlainText": "ZWNobyBoaQ==", "BASE64": "echo hi"}.items():
        command = plane.dispatcher.create_command(name="n", command_content="ZWNobyBoaQ==", content_encoding=encoding)
        assert expected == command.command_content


def test_quota_of_kept_commands_is_named_and_a_run_beyond_it_leaves_nothing(make_plane, untouched) -> None:
    """`commands_max` counts what is kept; a run that would keep one more starts nothing."""
    plane = make_plane(commands_max=1)
    kept = plane.dispatcher.create_command(name="one", command_content="x")

    for verb, arguments in (
        ("create_command", {"name": "two", "command_content": "x"}),
        ("clone_command", {"command_id": kept.command_id}),
        ("run_command", {**RUN, "keep_command": True, "name": "two"}),
    ):
        error = refused(plane, verb, arguments)
        assert error.code == "CmdCount.ExceedQuota"
        assert "1 commands are kept" in str(error)
        assert "commands_max" in str(error)

    assert [kept] == plane.dispatcher.describe_commands().items
    assert plane.dispatcher.describe_invocations().items == []
    plane.dispatcher.run_command(**RUN)
    plane.dispatcher.delete_command(kept.command_id)
    assert plane.dispatcher.create_command(name="two", command_content="x")


def test_quota_of_a_day_is_named_and_a_run_beyond_it_leaves_nothing(make_plane, host) -> None:
    """`invocations_per_day_max` is checked before a command is kept or an order is sent."""
    plane = make_plane(invocations_per_day_max=1)
    first = host()
    command = plane.dispatcher.create_command(name="n", command_content="x")
    invocation = plane.dispatcher.run_command(**RUN)
    first.finish(invocation.invoke_id, "Failed")
    plane.settle()
    first.orders()

    for verb, arguments in (
        ("run_command", RUN),
        ("run_command", {**RUN, "keep_command": True, "name": "kept"}),
        ("invoke_command", {"command_id": command.command_id, "instance_ids": ["host-1"]}),
        ("retry_invocation", {"invoke_id": invocation.invoke_id}),
    ):
        error = refused(plane, verb, arguments)
        assert error.code == "Invocation.ExceedQuota"
        assert "1 a day" in str(error)

    assert first.orders() == []
    assert [command] == plane.dispatcher.describe_commands().items
    assert len(plane.dispatcher.describe_invocations().items) == 1


@pytest.mark.parametrize("verb", ["describe_commands", "describe_invocations", "describe_instances"])
def test_page_size_and_token_are_checked(plane, verb: str) -> None:
    """1 to 50, a number; a token is one of ours."""
    for size in (0, 51, -1, "10", 1.5):
        error = refused(plane, verb, {"max_results": size})
        assert error.code == "InvalidParameter.MaxResults"
        assert repr(size) in str(error)
        assert "1 to 50" in str(error)
    for token in ("x", "AAAA", "bm9uc2Vuc2U=", "eyJhIjoxfQ=="):
        assert refused(plane, verb, {"next_token": token}).code == "InvalidParameter.NextToken"
    for size in (1, 50):
        getattr(plane.dispatcher, verb)(max_results=size)


PARAMETERS = [
    ("{{a}}", {}, "Parameter.MissingValue", "a"),
    ("{{a}} {{b}}", None, "Parameter.MissingValue", "a, b"),
    ("{{a}}", {"b": "1"}, "Parameter.NotMatched", "{{b}}"),
    ("{{a}}" * 3, {"a": "1", "A": "2"}, "ParameterKey.Duplicate", "'A'"),
    ("{{a}}", {"a": 1}, "ParameterType.NotSupported", "'a'"),
    ("{{a}}", {"a": None}, "ParameterType.NotSupported", "'a'"),
    ("{{a}}", {"a": "\0"}, "InvalidParameterCharset.Parameters", "NUL"),
    ("{{a}}", {"a": "\ud800"}, "InvalidParameterCharset.Parameters", "Unicode"),
    ("{{a}}", {"a" * 65: ""}, "ParameterKey.ExceedLimit", "65"),
    (TWENTY, {f"p{n}": "" for n in range(21)}, "ParameterCount.ExceedLimit", "21"),
    ("{{a}}", "a=1", "InvalidParameter", "parameters"),
    ("{{ }}", {}, "CmdParam.EmptyKey", "name"),
    ("{{a b}}", {}, "CmdParam.InvalidParamName", "a b"),
    ("{{" + "n" * 65 + "}}", {}, "CmdParamName.ExceedLimit", "65"),
    (TWENTY + "{{q}}", {}, "CmdParamCount.ExceedLimit", "21"),
    ("{{a}}", {"a": "v" * 18_433}, "CmdContent.ExceedLimit", "24580"),
]


@pytest.mark.parametrize(("content", "values", "code", "named"), PARAMETERS, ids=lambda value: str(value)[:40])
def test_parameters_are_refused_with_the_code_of_the_rule(  # noqa: PLR0917
    plane, untouched, content: str, values: Any, code: str, named: str
) -> None:
    """Spec 7.3, rule by rule."""
    arguments = {**RUN, "command_content": content, "enable_parameter": True, "parameters": values}

    error = refused(plane, "run_command", arguments)

    assert (error.code, named in str(error)) == (code, True), str(error)
    assert untouched()


def test_omitted_parameter_is_empty_and_names_have_no_case(plane, host) -> None:
    """One that is passed is enough; spaces inside the braces do not matter; a value is not read again."""
    first = host()
    plane.dispatcher.run_command(
        **{**RUN, "command_content": "{{A}}|{{ b }}|{{\na}}"}, enable_parameter=True, parameters={"a": "{{b}}"}
    )

    (order,) = first.orders()
    assert {"A": "{{b}}", "b": ""} == order.parameters
    shown = plane.dispatcher.render(
        instance_id="host-1", command_content="{{A}}|{{ b }}|{{\na}}", parameters={"a": "{{b}}"}
    )
    assert shown.content == "{{b}}||{{b}}"


DEFINED = "{{size}} {{password}}"
DEFINITIONS = [
    ParameterDefinition(parameter_name="Size", default_value="2", possible_values=("1", "2")),
    ParameterDefinition(parameter_name="password", required=True, secret=True, pattern_regex="[a-z0-9]+"),
]


@pytest.mark.parametrize(
    ("values", "code", "named"),
    [
        ({"size": "1"}, "Parameter.MissingValue", "password"),
        ({"size": "3", "password": "hunter2"}, "InvalidParameter.Parameters", "1, 2"),
        ({"password": "HUNTER2"}, "InvalidParameter.Parameters", "must match"),
        ({"password": "hunter2\n"}, "InvalidParameter.Parameters", "must match"),
        ({"password": ["hunter2"]}, "ParameterType.NotSupported", "password"),
        ({"password": "hunter2\0"}, "InvalidParameterCharset.Parameters", "password"),
    ],
)
def test_definitions_are_enforced_and_an_error_never_holds_a_secret(plane, untouched, values, code, named) -> None:
    """Required, allowed values and pattern; the refused secret itself is masked."""
    arguments = {"command_content": DEFINED, "enable_parameter": True, "parameter_definitions": DEFINITIONS}

    error = refused(plane, "run_command", {**RUN, **arguments, "parameters": values})

    assert (error.code, named in str(error)) == (code, True), str(error)
    assert "hunter2" not in str(error).lower()
    assert untouched()


@pytest.mark.parametrize(
    "definition",
    [
        {"parameter_name": "other"},
        {"parameter_name": "size", "pattern_regex": "("},
        {"parameter_name": "size", "secret": True, "default_value": "hunter2", "possible_values": ("1", "2")},
        {"parameter_name": "size", "secret": True, "default_value": "hunter2", "pattern_regex": "[0-9]"},
        {"parameter_name": "size", "secret": True, "default_value": ["hunter2"]},
        {"name": "size", "secret": True, "default_value": "hunter2"},
        {"parameter_name": "size", "possible_values": "hunter2", "secret": True},
    ],
    ids=str,
)
def test_broken_definition_is_refused_without_its_secret(plane, untouched, definition: dict[str, Any]) -> None:
    """A definition must fit the content and itself; what it would hide stays hidden, in the chain of errors too."""
    arguments = {"command_content": "{{size}}", "enable_parameter": True, "parameter_definitions": [definition]}

    error = refused(plane, "create_command", {"name": "n", **arguments})

    assert error.code.startswith("InvalidParameter")
    assert "hunter2" not in f"{error} {error.__cause__}"
    assert untouched()


def test_secret_is_shown_nowhere(plane, host) -> None:
    """Not in what commands, invocations, results, explanations and events say; the host alone gets it."""
    first = host()
    definition = {"parameter_name": "p", "secret": True, "default_value": "hunter1"}
    command = plane.dispatcher.create_command(
        name="n", command_content="{{p}}", enable_parameter=True, parameter_definitions=[definition]
    )
    defaulted = plane.dispatcher.invoke_command(command.command_id, instance_ids=["host-1"])
    invocation = plane.dispatcher.invoke_command(
        command.command_id, instance_ids=["host-1"], parameters={"P": "hunter2"}
    )

    assert [order.parameters for order in first.orders()] == [{"p": "hunter1"}, {"p": "hunter2"}]
    dispatcher = plane.dispatcher
    shown = [
        command,
        dispatcher.describe_commands(),
        dispatcher.modify_command(command.command_id, description="d"),
        dispatcher.clone_command(command.command_id),
        defaulted.record(),
        invocation.record(),
        dispatcher.describe_invocations(),
        list(invocation.results()),
        dispatcher.explain(invocation.invoke_id, "host-1"),
        list(dispatcher.describe_invocations().items),
    ]
    assert [item for item in shown if "hunter" in repr(item)] == []
    assert invocation.record().parameters == {"p": "******"}
    # what is shown masked is not what is kept
    again = dispatcher.invoke_command(dispatcher.describe_commands().items[0].command_id, instance_ids=["host-1"])
    assert [order.parameters for order in first.orders()] == [{"p": "hunter1"}]
    assert again.invoke_id


def test_environment_names_that_would_collide_are_refused(plane, untouched) -> None:
    """Two parameters must not become one variable."""
    arguments = {"command_content": "{{a-b}} {{a_b}}", "enable_parameter": True, "interpolation": "env"}

    error = refused(plane, "run_command", {**RUN, **arguments, "parameters": {"a-b": "1"}})

    assert error.code == "CmdParam.InvalidParamName"
    assert "FLEETHAND_PARAM_A_B" in str(error)
    assert untouched()
