"""Verbs about kept commands."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleethand_common.commands import CommandType, Interpolation
from fleethand_dispatcher import content
from fleethand_dispatcher.catalogue import Catalogue
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.models import Command, Page, ParameterDefinition
from fleethand_dispatcher.running import Runner


class CommandVerbs:
    """What may be done with commands that are kept (spec 2.1 to 2.4)."""

    _catalogue: Catalogue
    _runner: Runner

    @guarded
    def create_command(
        self,
        *,
        name: str,
        command_content: str,
        type: str = CommandType.SHELL,  # noqa: A002
        content_encoding: str = "PlainText",
        description: str = "",
        working_dir: str = "",
        timeout_s: int = 60,
        enable_parameter: bool = False,
        interpolation: str = Interpolation.TEXT,
        parameter_definitions: Sequence[ParameterDefinition | Mapping[str, Any]] = (),
        client_token: str | None = None,
    ) -> Command:
        """Keep a command; nothing runs (spec 2.1).

        Args:
            command_content: the script; with `{{name}}` in it where *enable_parameter* is true.
            content_encoding: `PlainText`, or `Base64` for content that is encoded.
            interpolation: `text` puts values into the content, `env` into environment variables it refers to.
        """
        values = {
            "name": name,
            "command_content": command_content,
            "type": type,
            "content_encoding": content_encoding,
            "description": description,
            "working_dir": working_dir,
            "timeout_s": timeout_s,
            "enable_parameter": enable_parameter,
            "interpolation": interpolation,
            "parameter_definitions": tuple(parameter_definitions),
        }
        return content.mask_defaults(self._runner.create_once(values, client_token))

    @guarded
    def modify_command(
        self,
        command_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        working_dir: str | None = None,
        timeout_s: int | None = None,
    ) -> Command:
        """Change what may be changed of a kept command; for another content or type, clone it (spec 2.2)."""
        values = {"name": name, "description": description, "working_dir": working_dir, "timeout_s": timeout_s}
        return content.mask_defaults(self._catalogue.modify(command_id, values))

    @guarded
    def clone_command(self, command_id: str, **changes: Any) -> Command:
        """Keep a copy of a command; *changes* are arguments of `create_command`."""
        return content.mask_defaults(self._catalogue.clone(command_id, changes))

    @guarded
    def delete_command(self, command_id: str) -> None:
        """Remove a kept command; past results stay (spec 2.3)."""
        self._catalogue.delete(command_id)

    @guarded
    def describe_commands(
        self,
        *,
        command_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        type: str | None = None,  # noqa: A002
        max_results: int = 10,
        next_token: str = "",
    ) -> Page[Command]:
        """List kept commands, newest first; `*` in *name* and *description* stands for anything (spec 2.4)."""
        page = self._catalogue.describe(
            command_id=command_id,
            name=name,
            description=description,
            type=type,
            max_results=max_results,
            next_token=next_token,
        )
        return Page(items=[content.mask_defaults(command) for command in page.items], next_token=page.next_token)
