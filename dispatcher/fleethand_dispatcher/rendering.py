"""What a host would run of a command, without running it."""

from collections.abc import Mapping
from typing import Any

from fleethand_common import templates
from fleethand_common.errors import ExecutionError
from fleethand_dispatcher import content
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.launching import built_ins
from fleethand_dispatcher.models import Command, Rendering
from fleethand_dispatcher.settings import Settings

_UNKNOWN_INVOCATION = "t-…"


def rendering(
    command: Command, parameters: Mapping[str, Any] | None, host: Mapping[str, str], settings: Settings
) -> Rendering:
    """Fill a command as the host would; *host* holds the built-ins that differ per instance."""
    values = content.check_values(
        parameters, command.parameter_names, command.parameter_definitions, enabled=command.enable_parameter
    )
    if not command.enable_parameter:
        return Rendering(content=command.command_content, environment={})
    known = {**built_ins(settings, _UNKNOWN_INVOCATION, command.command_id), **host}
    try:
        text, environment = templates.render(
            command.command_content, values, known, command.type, command.interpolation
        )
    except ExecutionError as error:
        raise refusal("InvalidParameter", str(error)) from error
    return Rendering(content=text, environment=environment)
