"""From an order to interpreter, content, environment and folder."""

from pathlib import Path

import pytest

from fleethand_common.commands import CommandType, Interpolation
from fleethand_common.errors import ExecutionError
from fleethand_worker.accounts import Account, find_account
from fleethand_worker.scripts import check_applicable, choose_folder, make_environment, make_script, shebang
from unit.worker.control_line import make_order

ACCOUNT = Account(name="kim", uid=7, gid=7, home="/home/kim", login_shell="/bin/zsh", is_own=False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"echo", None),
        (b"#!/bin/bash\necho", ("/bin/bash",)),
        (b"#! /usr/bin/env python3\r\nprint()", ("/usr/bin/env", "python3")),
        (b"#!/usr/bin/perl -w -T\n", ("/usr/bin/perl", "-w -T")),
        (b"#!\necho", None),
        (b" #!/bin/bash\n", None),
    ],
)
def test_shebang_is_split_as_the_kernel_does_when_there_is_one(
    content: bytes, expected: tuple[str, ...] | None
) -> None:
    """Interpreter and at most one argument; a carriage return at the line's end is no part of them."""
    assert shebang(content) == expected


def test_script_has_the_host_in_it_when_parameters_are_filled() -> None:
    """The host adds the two built-ins that only it knows."""
    order = make_order(
        "t-1", "{{ACS::InstanceId}} {{Fleethand::InstanceName}} {{a}} {{b}}",
        enable_parameter=True, parameters={"A": "{{b}}"}, built_ins={"RegionId": "r"},
    )  # fmt: skip
    script = make_script(order, instance_id="i-1", instance_name="one")
    assert script.content == b"i-1 one {{b}} "
    assert script.interpreter == ("/bin/sh",)


def test_content_is_not_filled_when_parameters_are_off() -> None:
    """Braces are text then."""
    script = make_script(make_order("t-1", "echo {{a}}"), instance_id="i", instance_name="n")
    assert script.content == b"echo {{a}}"
    assert set(script.variables) == {"FLEETHAND_INVOCATION_ID", "FLEETHAND_INSTANCE_ID", "FLEETHAND_COMMAND_ID"}


def test_value_is_refused_when_no_environment_can_hold_it() -> None:
    """A NUL would end the variable."""
    order = make_order("t-1", "{{a}}", enable_parameter=True, parameters={"a": "x\0y"}, interpolation=Interpolation.ENV)
    with pytest.raises(ExecutionError) as caught:
        make_script(order, instance_id="i", instance_name="n")
    assert caught.value.code == "InvalidCommandText"


@pytest.mark.parametrize(
    ("command_type", "platform", "applies"),
    [
        (CommandType.SHELL, "linux", True),
        (CommandType.SHELL, "win32", False),
        (CommandType.BAT, "linux", False),
        (CommandType.BAT, "win32", True),
        (CommandType.POWERSHELL, "linux", True),
        (CommandType.POWERSHELL, "win32", True),
    ],
)
def test_command_type_is_refused_when_the_system_has_no_such_thing(
    command_type: CommandType, platform: str, applies: bool
) -> None:
    """PowerShell may be anywhere, the others belong to one kind of system."""
    if applies:
        check_applicable(command_type, platform)
        return
    with pytest.raises(ExecutionError) as caught:
        check_applicable(command_type, platform)
    assert caught.value.code == "CommandNotApplicable"


def test_bat_script_gets_windows_line_ends_when_it_is_made() -> None:
    """Line ends of either kind become CR LF, once."""
    order = make_order("t-1", "echo a\r\necho b\n", command_type=CommandType.BAT)
    script = make_script(order, instance_id="i", instance_name="n", platform="win32")
    assert script.content == b"@echo off\r\necho a\r\necho b\r\n"
    assert script.suffix == ".bat"


def test_environment_is_the_users_own_when_it_is_made() -> None:
    """Nothing of the worker's but its language."""
    environment = make_environment(ACCOUNT, {"X": "1"}, {"LANG": "de_DE.UTF-8", "FLEETHAND_REDIS_URL": "secret"})
    assert environment["LANG"] == "de_DE.UTF-8"
    assert environment["HOME"] == "/home/kim"
    assert environment["SHELL"] == "/bin/zsh"
    assert "FLEETHAND_REDIS_URL" not in environment


def test_folder_is_checked_when_a_script_is_to_start_there(tmp_path: Path) -> None:
    """A folder that was asked for and a home that is not there have different codes."""
    assert choose_folder(str(tmp_path), ACCOUNT) == str(tmp_path)
    for working_dir, code in (("/no/such", "DirectoryNotExists"), ("", "DefaultWorkingDirectoryNotAvailable")):
        with pytest.raises(ExecutionError) as caught:
            choose_folder(working_dir, ACCOUNT)
        assert caught.value.code == code


def test_account_is_found_when_it_exists() -> None:
    """No name is the worker's own user; an unknown one is an error, also if no user could be called that."""
    assert find_account("").is_own
    for name in ("no-such-user", "a\0b"):
        with pytest.raises(ExecutionError) as caught:
            find_account(name)
        assert caught.value.code == "AccountNotExists"
