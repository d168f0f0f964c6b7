"""From an order to what is started: interpreter, arguments, environment, folder. Starts nothing and writes nothing."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from fleethand_common import templates
from fleethand_common.commands import CommandType
from fleethand_common.errors import ExecutionError
from fleethand_common.instance_errors import InstanceErrorCode
from fleethand_common.messages import ExecutionOrder
from fleethand_worker.accounts import Account

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POWERSHELLS = ("pwsh", "powershell")
SUFFIXES: Mapping[CommandType, str] = {
    CommandType.SHELL: ".sh",
    CommandType.POWERSHELL: ".ps1",
    CommandType.BAT: ".bat",
}


@dataclass(frozen=True, kw_only=True)
class Script:
    """What to run: the words before the script's path, its bytes, the variables it adds, and where it runs."""

    interpreter: tuple[str, ...]
    content: bytes
    variables: Mapping[str, str]
    suffix: str


def make_script(order: ExecutionOrder, *, instance_id: str, instance_name: str, platform: str = sys.platform) -> Script:
    """Fill the parameters in and choose the interpreter.

    Raises:
        ExecutionError: this host cannot run such a command, or its content cannot be filled.
    """
    check_applicable(order.command_type, platform)
    content, variables = order.content, dict[str, str]()
    if order.enable_parameter:
        built_ins = {**order.built_ins, "InstanceId": instance_id, "InstanceName": instance_name}
        content, variables = templates.render(
            content, order.parameters, built_ins, order.command_type, order.interpolation
        )
    try:
        data = content.encode()
    except UnicodeEncodeError:
        raise ExecutionError(
            InstanceErrorCode.INVALID_COMMAND_TEXT, "cannot run the content: it is not valid Unicode"
        ) from None
    data, interpreter = _prepare(order.command_type, data)
    variables["FLEETHAND_INVOCATION_ID"] = order.invocation_id
    variables["FLEETHAND_INSTANCE_ID"] = instance_id
    variables["FLEETHAND_COMMAND_ID"] = order.command_id
    if any("\0" in value for value in variables.values()):
        raise ExecutionError(
            InstanceErrorCode.INVALID_COMMAND_TEXT, "cannot put a parameter into the environment: it has a NUL in it"
        )
    return Script(interpreter=interpreter, content=data, variables=variables, suffix=SUFFIXES[order.command_type])


def check_applicable(command_type: CommandType, platform: str) -> None:
    """Refuse a command type that this kind of host has no interpreter for.

    Raises:
        ExecutionError: `CommandNotApplicable`.
    """
    is_windows = platform == "win32"
    if (command_type is CommandType.BAT and not is_windows) or (command_type is CommandType.SHELL and is_windows):
        raise ExecutionError(
            InstanceErrorCode.COMMAND_NOT_APPLICABLE, f"cannot run a {command_type} command on this kind of host"
        )


def shebang(content: bytes) -> tuple[str, ...] | None:
    """Return the interpreter and its one argument that the first line names, as the kernel splits it; else None.

    A line that ends in CR LF is read as if it ended in LF: the kernel would look for an interpreter called `sh\\r`.
    """
    if not content.startswith(b"#!"):
        return None
    line = content[2:].split(b"\n", 1)[0].strip()
    words = line.split(None, 1)
    return tuple(os.fsdecode(word.strip()) for word in words) if words else None


def make_environment(account: Account, variables: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a script; nothing of the worker's own gets through but its language."""
    return {
        "PATH": DEFAULT_PATH,
        "LANG": own.get("LANG", "C.UTF-8"),
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": account.login_shell,
        **variables,
    }


def choose_folder(working_dir: str, account: Account) -> str:
    """Return the folder to start in: the one asked for, else the user's home.

    Raises:
        ExecutionError: `DirectoryNotExists` or `DefaultWorkingDirectoryNotAvailable`.
    """
    folder = working_dir or account.home
    if os.path.isdir(folder):  # noqa: PTH112 - must also take what Path cannot, such as a NUL
        return folder
    if working_dir:
        raise ExecutionError(
            InstanceErrorCode.DIRECTORY_NOT_EXISTS, f"cannot start in {working_dir!r}: there is no such folder"
        )
    raise ExecutionError(
        InstanceErrorCode.DEFAULT_WORKING_DIRECTORY_NOT_AVAILABLE,
        f"cannot start in {folder!r}, the home of {account.name}: there is no such folder; name a working directory",
    )


def _prepare(command_type: CommandType, content: bytes) -> tuple[bytes, tuple[str, ...]]:
    if command_type is CommandType.SHELL:
        return content, shebang(content) or ("/bin/sh",)
    # Windows' own line ends, whatever the console that the command was written in made of them.
    content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if command_type is CommandType.BAT:
        return b"@echo off\r\n" + content, ("cmd.exe", "/d", "/c")
    for name in POWERSHELLS:
        if path := shutil.which(name, path=None if sys.platform == "win32" else DEFAULT_PATH):
            # A byte order mark makes Windows PowerShell 5 read UTF-8.
            return b"\xef\xbb\xbf" + content, (
                path, "-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File",
            )  # fmt: skip
    raise ExecutionError(
        InstanceErrorCode.COMMAND_NOT_APPLICABLE, "cannot run a PowerShell command: neither pwsh nor powershell is here"
    )
