"""Kept commands: create, modify, clone, delete, describe, and what invocations take from them."""

from typing import Any

import pytest
import redis

from fleethand_common.errors import RequestError
from fleethand_dispatcher import keys

ON_HOST: dict[str, Any] = {"instance_ids": ["host-1"]}


def make(plane, *names: str, **values: Any) -> list[str]:
    """Keep commands, oldest first; returns their ids, newest first."""
    made = [plane.dispatcher.create_command(name=name, **{"command_content": "x", **values}) for name in names]
    return [command.command_id for command in reversed(made)]


def code_of(call, *arguments: Any, **values: Any) -> str:
    """Return the code with which a call is refused."""
    with pytest.raises(RequestError) as caught:
        call(*arguments, **values)
    return caught.value.code


def test_command_is_described_as_it_was_created(plane) -> None:
    """Every field comes back; names of parameters are found in the content, built-ins are none of them."""
    command = plane.dispatcher.create_command(
        name="n",
        command_content="{{b}} {{ A }} {{a}} {{ACS::InstanceId}}",
        type="RunPowerShellScript",
        description="d",
        working_dir="/tmp",
        timeout_s=5,
        enable_parameter=True,
        interpolation="env",
        parameter_definitions=[{"parameter_name": "a", "default_value": "1"}],
    )

    (found,) = plane.dispatcher.describe_commands(command_id=command.command_id).items

    assert command == found
    assert ("b", "A") == found.parameter_names
    assert (found.name, found.type, found.description, found.working_dir) == ("n", "RunPowerShellScript", "d", "/tmp")
    assert (found.timeout_s, found.interpolation, found.invoke_times) == (5, "env", 0)
    assert found.command_id.startswith("c-")


def test_braces_are_plain_text_when_parameters_are_not_enabled(plane, host) -> None:
    """Without `enable_parameter`, `{{x y}}` is a script like any other."""
    first = host()
    (command_id,) = make(plane, "n", command_content="echo {{x y}}")

    plane.dispatcher.invoke_command(command_id, **ON_HOST)

    assert [(order.content, order.enable_parameter) for order in first.orders()] == [("echo {{x y}}", False)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["web-stop", "db-start", "web-start"]),
        ({"name": "web-start"}, ["web-start"]),
        ({"name": "web"}, []),
        ({"name": "web*"}, ["web-stop", "web-start"]),
        ({"name": "*start"}, ["db-start", "web-start"]),
        ({"name": "*-st*"}, ["web-stop", "db-start", "web-start"]),
        ({"name": "we?-st*"}, []),
        ({"name": "[wd]*"}, []),
        ({"name": "*", "description": "about w*"}, ["web-stop", "web-start"]),
        ({"type": "RunShellScript", "name": "db*"}, ["db-start"]),
        ({"type": "RunBatScript"}, []),
        ({"command_id": "c-nothing"}, []),
    ],
    ids=str,
)
def test_describe_commands_finds_what_fits_every_filter(plane, filters: dict[str, str], expected: list[str]) -> None:
    """Only `*` is special; without it a name is meant exactly."""
    for name in ("web-start", "db-start", "web-stop"):
        make(plane, name, description=f"about {name}")

    found = plane.dispatcher.describe_commands(**filters).items

    assert sorted(expected) == sorted(command.name for command in found)


def test_describe_commands_refuses_an_unknown_type(plane) -> None:
    """A type that does not exist is a mistake, not an empty list."""
    assert code_of(plane.dispatcher.describe_commands, type="RunPython") == "InvalidCommandType.NotFound"


def test_pages_of_commands_hold_each_once_also_with_equal_times_and_new_ones(plane) -> None:
    """Newest first; a command that is created meanwhile moves nothing, one that is deleted hides nothing."""
    made = make(plane, *(f"n{number}" for number in range(7)))
    for command_id in made:
        plane.store.client.zadd(keys.COMMANDS, {command_id: 1000}, xx=True)
        command = plane.store.commands.read(command_id)
        stamped = command.model_copy(
            update={"creation_time": command.creation_time.fromtimestamp(1, command.creation_time.tzinfo)}
        )
        plane.store.commands.save(stamped, 1000)
    expected = sorted(made, reverse=True)

    page = plane.dispatcher.describe_commands(max_results=3)
    seen = [command.command_id for command in page.items]
    make(plane, "newer")
    plane.dispatcher.delete_command(seen[-1])
    while page.next_token:
        page = plane.dispatcher.describe_commands(max_results=3, next_token=page.next_token)
        seen += [command.command_id for command in page.items]

    assert expected == seen


def test_modify_changes_what_may_change_and_nothing_else(plane) -> None:
    """Name, description, directory and timeout; the place in the list and the count of runs stay."""
    (command_id,) = make(plane, "old", timeout_s=7)
    plane.dispatcher.invoke_command(command_id, instance_ids=["nobody"])
    before = plane.dispatcher.describe_commands().items[0]

    plane.dispatcher.modify_command(command_id, name="new", description="d", working_dir="/w")
    plane.dispatcher.modify_command(command_id, timeout_s=9)

    after = plane.dispatcher.describe_commands().items[0]
    changed = {"name": "new", "description": "d", "working_dir": "/w", "timeout_s": 9}
    assert before.model_copy(update=changed) == after


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"name": "n" * 129}, "CmdName.ExceedLimit"),
        ({"name": ""}, "MissingParameter.Name"),
        ({"description": "d" * 513}, "CmdDesc.ExceedLimit"),
        ({"working_dir": "d" * 201}, "InvalidParameter.WorkingDir"),
        ({"timeout_s": 0}, "InvalidParameter.Timeout"),
        ({"timeout_s": 86_401}, "InvalidTimeout.ExceedLimit"),
        ({"timeout_s": 1.5}, "InvalidParameter"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_modify_refuses_what_create_would_refuse(plane, values: dict[str, Any], code: str) -> None:
    """And then changes nothing."""
    (command_id,) = make(plane, "old")
    before = plane.dispatcher.describe_commands().items

    assert code == code_of(plane.dispatcher.modify_command, command_id, **values)

    assert before == plane.dispatcher.describe_commands().items


def test_verbs_on_an_unknown_command_are_refused_with_its_code(plane) -> None:
    """Modify, clone, delete and invoke name the id that does not exist."""
    d = plane.dispatcher
    for call, values in (
        (d.modify_command, {"name": "n"}),
        (d.clone_command, {}),
        (d.delete_command, {}),
        (d.invoke_command, ON_HOST),
    ):
        assert code_of(call, "c-nothing", **values) == "InvalidCmdId.NotFound"
        assert code_of(call, "", **values) == "MissingParameter.CommandId"


def test_clone_copies_all_and_takes_changes(plane) -> None:
    """A new id and a new name; the content may change, and then its definitions must fit it."""
    (command_id,) = make(
        plane,
        "n" * 128,
        command_content="{{a}}",
        enable_parameter=True,
        parameter_definitions=[{"parameter_name": "a"}],
        timeout_s=3,
    )
    source = plane.dispatcher.describe_commands().items[0]

    copy = plane.dispatcher.clone_command(command_id)
    other = plane.dispatcher.clone_command(command_id, name="other", command_content="{{a}}{{b}}", timeout_s=4)

    same = {"command_id", "creation_time", "name"}
    assert source.model_dump(exclude=same) == copy.model_dump(exclude=same)
    assert len(copy.name) == 128
    assert (other.name, other.parameter_names, other.timeout_s) == ("other", ("a", "b"), 4)
    refusal = code_of(plane.dispatcher.clone_command, command_id, command_content="no names")
    assert refusal == "InvalidParameter.ParameterDefinitions"
    assert code_of(plane.dispatcher.clone_command, command_id, colour="red") == "InvalidParameter"


def test_delete_is_refused_while_the_command_runs_and_keeps_results(plane, host) -> None:
    """The message names the invocation; afterwards the command goes and its past stays."""
    first = host()
    (command_id,) = make(plane, "n")
    invocation = plane.dispatcher.invoke_command(command_id, **ON_HOST)

    with pytest.raises(RequestError, match=invocation.invoke_id) as caught:
        plane.dispatcher.delete_command(command_id)
    assert caught.value.code == "Operation.Forbidden"

    first.finish(invocation.invoke_id)
    plane.settle()
    plane.dispatcher.delete_command(command_id)
    assert plane.dispatcher.describe_commands().items == []
    assert [invocation.invoke_id] == [
        i.invoke_id for i in plane.dispatcher.describe_invocations(command_id=command_id).items
    ]
    assert code_of(plane.dispatcher.invoke_command, command_id, **ON_HOST) == "InvalidCmdId.NotFound"
    assert invocation.retry(["success"]).record().command_name == "n"


def test_delete_of_one_command_does_not_wait_for_another(plane, host) -> None:
    """Only its own invocations count."""
    host()
    running, idle = make(plane, "idle", "running")
    plane.dispatcher.invoke_command(running, **ON_HOST)

    plane.dispatcher.delete_command(idle)

    assert [running] == [command.command_id for command in plane.dispatcher.describe_commands().items]


def test_keep_command_keeps_it_and_a_plain_run_does_not(plane, host) -> None:
    """A kept one can be invoked again and counts its runs; either way the invocation tells its command."""
    host()
    plain = plane.dispatcher.run_command(command_content="x", name="plain", **ON_HOST)
    kept = plane.dispatcher.run_command(command_content="x", name="kept", keep_command=True, **ON_HOST)
    again = plane.dispatcher.invoke_command(kept.command_id, **ON_HOST)

    (command,) = plane.dispatcher.describe_commands().items
    assert (command.command_id, command.name, command.invoke_times) == (kept.command_id, "kept", 2)
    assert again.command_id == kept.command_id
    assert plain.record().command_name == "plain"
    assert code_of(plane.dispatcher.invoke_command, plain.command_id, **ON_HOST) == "InvalidCmdId.NotFound"


def test_invoke_overrides_hold_for_that_invocation_only(plane, host) -> None:
    """The command's own timeout and directory stay as they are."""
    first = host()
    (command_id,) = make(plane, "n", timeout_s=10, working_dir="/own")

    changed = plane.dispatcher.invoke_command(command_id, timeout_s=20, working_dir="/other", username="u", **ON_HOST)
    plane.dispatcher.invoke_command(command_id, **ON_HOST)

    orders = first.orders()
    assert [(20, "/other", "u"), (10, "/own", "")] == [(o.timeout_s, o.working_dir, o.username) for o in orders]
    assert (changed.record().timeout_s, changed.record().working_dir) == (20, "/other")
    (command,) = plane.dispatcher.describe_commands().items
    assert (command.timeout_s, command.working_dir) == (10, "/own")


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ({"timeout_s": 0}, "InvalidParameter.Timeout"),
        ({"timeout_s": 86_401}, "InvalidTimeout.ExceedLimit"),
        ({"timeout_s": 5.5}, "InvalidParameter"),
        ({"timeout_s": "soon"}, "InvalidParameter"),
        ({"working_dir": "d" * 201}, "InvalidParameter.WorkingDir"),
        ({"working_dir": "a\n"}, "InvalidParameterCharacter.CommandWorkingDir"),
        ({"working_dir": 5}, "InvalidParameter"),
        ({"command_content": "y"}, "InvalidParameter"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_override_is_checked_like_the_command_itself(plane, host, overrides: dict[str, Any], code: str) -> None:
    """A timeout of 5.5 once made an invocation whose records nobody could read."""
    first = host()
    (command_id,) = make(plane, "n")

    assert code == code_of(plane.dispatcher.invoke_command, command_id, **overrides, **ON_HOST)

    assert first.orders() == []
    assert plane.dispatcher.describe_invocations().items == []


def test_invocation_keeps_what_it_was_given_whatever_becomes_of_the_command(plane, host) -> None:
    """A modification, a deletion and a redelivery show the command as it was when it was invoked."""
    first = host()
    (command_id,) = make(plane, "old", command_content="echo {{a}}", enable_parameter=True, description="was")
    invocation = plane.dispatcher.invoke_command(command_id, parameters={"a": "1"}, **ON_HOST)
    before, (sent,) = invocation.record(), first.orders()

    plane.dispatcher.modify_command(command_id, name="new", description="is", timeout_s=1, working_dir="/")
    first.beat(hello=True)
    plane.settle()

    assert before == invocation.record()
    assert [sent] == first.orders()
    first.finish(invocation.invoke_id)
    plane.settle()
    plane.dispatcher.delete_command(command_id)
    assert (invocation.record().command_name, invocation.record().command_content) == ("old", "echo {{a}}")


def test_client_token_creates_a_command_once(plane) -> None:
    """The same token with the same request gets the same command; a failed request gives the token back."""
    arguments = {"name": "n", "command_content": "x", "client_token": "once"}
    assert code_of(plane.dispatcher.create_command, **{**arguments, "timeout_s": 0}) == "InvalidParameter.Timeout"

    one = plane.dispatcher.create_command(**arguments)
    two = plane.dispatcher.create_command(**arguments)

    assert one == two
    assert len(plane.dispatcher.describe_commands().items) == 1
    refusal = code_of(plane.dispatcher.create_command, **{**arguments, "name": "other"})
    assert refusal == "IdempotentParameterMismatch"


def test_deleted_commands_leave_no_key_behind(plane, redis_client: "redis.Redis[Any]") -> None:
    """What was kept is gone, with its count of runs."""
    made = make(plane, "a", "b")
    for command_id in made:
        plane.dispatcher.delete_command(command_id)

    assert redis_client.keys("*command*") == []
