"""The kept commands: create, modify, clone, delete, describe (spec 2.1 to 2.4)."""

import fnmatch
from collections.abc import Mapping
from typing import Any

from fleethand_common import clock, ids
from fleethand_common.commands import CommandType, Interpolation
from fleethand_dispatcher import content, paging
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.models import Command, Page
from fleethand_dispatcher.requests import CommandRequest, check_timeout, parse
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store


class Catalogue:
    """Kept commands and what may be done with them."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def create(self, values: Mapping[str, Any]) -> Command:
        """Keep a new command."""
        command = self.make(values)
        self.keep(command)
        return command

    def make(self, values: Mapping[str, Any]) -> Command:
        """Return the command that could be kept; nothing is written."""
        request = parse(CommandRequest, values)
        if not request.name:
            raise refusal("MissingParameter.Name", "A kept command needs a name.")
        return self.build(request, self._settings.kept_content_bytes, self._store.now_ms())

    def build(self, request: CommandRequest, limit_bytes: int, at_ms: int = 0) -> Command:
        """Return the command that a request describes, checked, with a new id; nothing is written.

        Args:
            at_ms: when it is made; nobody is told that of a command which is not kept.
        """
        text = content.decode(request.command_content, request.content_encoding, limit_bytes)
        names: tuple[str, ...] = ()
        if request.enable_parameter:
            names = content.parameter_names(text, interpolation=request.interpolation)
        content.check_definitions(request.parameter_definitions, names)
        return Command(
            command_id=ids.new_id(ids.COMMAND_PREFIX),
            name=request.name,
            description=request.description,
            type=CommandType(request.type),
            command_content=text,
            working_dir=request.working_dir,
            timeout_s=check_timeout(request.timeout_s, self._settings.timeout_max_s),
            enable_parameter=request.enable_parameter,
            interpolation=Interpolation(request.interpolation),
            parameter_names=names,
            parameter_definitions=request.parameter_definitions,
            creation_time=clock.to_datetime(at_ms),
        )

    def keep(self, command: Command) -> None:
        """Write a new command, within the quota; one that is there already is the same one."""
        held = self._store.commands.count()
        if held >= self._settings.commands_max and self._store.commands.read(command.command_id) is None:
            raise refusal("CmdCount.ExceedQuota", f"{held} commands are kept; delete one or raise commands_max.")
        self._store.commands.save(command, _place(command)[0])

    def modify(self, command_id: str, values: Mapping[str, Any]) -> Command:
        """Change the name, description, working directory or timeout; running invocations keep what they were given."""
        command = self.get(command_id)
        changed = {name: value for name, value in values.items() if value is not None}
        request = parse(CommandRequest, {"name": command.name, **changed})
        if not request.name:
            raise refusal("MissingParameter.Name", "A kept command needs a name.")
        if "timeout_s" in changed:
            check_timeout(request.timeout_s, self._settings.timeout_max_s)
        updated = command.model_copy(update={name: getattr(request, name) for name in changed})
        self._store.commands.save(updated, _place(command)[0])
        return updated

    def clone(self, command_id: str, values: Mapping[str, Any]) -> Command:
        """Keep a copy under a new id, with what *values* change."""
        source = self.get(command_id)
        copied = source.model_dump(
            include={
                "name", "type", "command_content", "description", "working_dir", "timeout_s", "enable_parameter",
                "interpolation", "parameter_definitions",
            }
        )  # fmt: skip
        changed = {name: value for name, value in values.items() if value is not None}
        return self.create({**copied, "name": f"{source.name} (copy)"[:128], **changed})

    def delete(self, command_id: str) -> None:
        """Remove a command that no unfinished invocation uses; past results stay."""
        self.get(command_id)
        if using := self._store.invocations.unfinished_of(command_id):
            way_out = f"{using} still runs it; stop it or wait for its end."
            raise refusal("Operation.Forbidden", f"The command {command_id} is being executed: {way_out}")
        self._store.commands.delete(command_id)

    def get(self, command_id: str) -> Command:
        """Return a kept command, or refuse."""
        if not command_id:
            raise refusal("MissingParameter.CommandId", "It is empty.")
        command = self._store.commands.read(command_id)
        if command is None:
            raise refusal("InvalidCmdId.NotFound", f"There is no command {command_id!r}.")
        return command

    def describe(
        self,
        *,
        command_id: str | None,
        name: str | None,
        description: str | None,
        type: str | None,  # noqa: A002
        max_results: int,
        next_token: str,
    ) -> Page[Command]:
        """Return kept commands, newest first; `*` in *name* and *description* stands for anything."""
        if type is not None and type not in set(CommandType):
            raise refusal("InvalidCommandType.NotFound", f"Cannot use {type!r}; there are {', '.join(CommandType)}.")
        size = paging.check_size(max_results)
        before = paging.position(next_token, tuple[int, str])
        found = [
            command
            for command in self._candidates(command_id)
            if (before is None or _place(command) < before)
            and (type is None or command.type == type)
            and _like(command.name, name)
            and _like(command.description, description)
        ]
        more = len(found) > size
        return Page(items=found[:size], next_token=paging.token(_place(found[size - 1])) if more else "")

    def _candidates(self, command_id: str | None) -> list[Command]:
        if command_id is None:
            return self._store.commands.newest()
        command = self._store.commands.read(command_id)
        return [command] if command else []


def _place(command: Command) -> tuple[int, str]:
    """Return where a command stands among all, oldest first, as the records sort them."""
    return round(command.creation_time.timestamp() * 1000), command.command_id


def _like(text: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    # only * is special in the API, so the other signs of fnmatch stand for themselves
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))
