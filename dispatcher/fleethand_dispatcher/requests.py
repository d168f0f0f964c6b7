"""The requests of the API: one frozen model per kind, checked with the spec's codes before anything happens."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from fleethand_common import ids, limits
from fleethand_common.commands import CommandType, ContentEncoding, Interpolation, TerminationMode
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import content
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.models import ParameterDefinition

R = TypeVar("R", bound="Request")


class Request(BaseModel):
    """The base of all requests."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def parse(kind: type[R], values: Mapping[str, Any]) -> R:
    """Build a request from keyword arguments.

    Raises:
        RequestError: with the spec's code for what it names, `InvalidParameter` for a value of a wrong type.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        # what may hold a secret is not shown
        simple = isinstance(first["input"], (str, int, float)) and not name.startswith("parameter")
        shown = repr(first["input"]) if simple else "this"
        raise refusal("InvalidParameter", f"Cannot use {shown} for {name}: {first['msg']}.") from None


def _printable(value: str, code: str, name: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):  # noqa: PLR2004
        raise refusal(code, f"{name} holds a control character.")
    if not content.is_text(value):
        raise refusal(code, f"{name} holds no valid Unicode.")
    return value


def _at_most(value: str, limit: int, code: str, name: str) -> str:
    if len(value) > limit:
        raise refusal(code, f"{name} has {len(value)} characters; {limit} are allowed.")
    return value


class TargetsRequest(Request):
    """Which instances: by id, by tags, by globs on names, or all; only the ids may be joined with nothing else."""

    instance_ids: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    names: tuple[str, ...] = ()
    all_instances: bool = False
    limit: str | None = None
    require_known: bool = False

    @field_validator("instance_ids", "names", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("instance_ids")
    @classmethod
    def _well_formed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for instance_id in value:
            if not ids.is_instance_id(instance_id):
                raise refusal(
                    "InvalidInstanceId.Malformed",
                    f"Cannot use {instance_id!r}: 1 to 64 letters, digits, '.', '_' and '-'.",
                )
        return tuple(dict.fromkeys(value))

    @field_validator("tags")
    @classmethod
    def _tags_fit(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if len(value) > limits.TAGS:
            raise refusal("NumberExceed.ResourceTags", f"{len(value)} tags were given; {limits.TAGS} are allowed.")
        for key, text in value.items():
            if not 1 <= len(key) <= limits.TAG_KEY_CHARS:
                bound = f"{key!r} has {len(key)} characters; it must be 1 to {limits.TAG_KEY_CHARS}."
                raise refusal("InvalidResourceTagKey.Malformed", bound)
            if len(text) > limits.TAG_VALUE_CHARS:
                bound = f"The value of {key!r} has {len(text)} characters; {limits.TAG_VALUE_CHARS} are allowed."
                raise refusal("InvalidResourceTagValue.Malformed", bound)
        return value

    @field_validator("limit", mode="before")
    @classmethod
    def _limit_is_a_share(cls, value: object) -> str | None:
        if value is None:
            return None
        text = str(value).strip()
        number = text.removesuffix("%")
        try:
            fits = 0 < float(number) <= 100 if text.endswith("%") else int(number) > 0  # noqa: PLR2004
        except ValueError:
            fits = False
        if not fits:
            raise refusal("InvalidParameter.Limit", f"Cannot use {value!r}: write a number like 25 or 10%.")
        return text


class CommandRequest(Request):
    """A command, stored or to be run at once (spec 2.1)."""

    name: str = ""
    type: str = CommandType.SHELL
    command_content: str = ""
    content_encoding: str = ContentEncoding.PLAIN_TEXT
    description: str = ""
    working_dir: str = ""
    timeout_s: int = limits.TIMEOUT_DEFAULT_S
    enable_parameter: bool = False
    interpolation: str = Interpolation.TEXT
    parameter_definitions: tuple[ParameterDefinition, ...] = ()

    @field_validator("name")
    @classmethod
    def _name_fits(cls, value: str) -> str:
        _printable(value, "InvalidParameterCharacter.CommandName", "The name")
        return _at_most(value, limits.NAME_CHARS, "CmdName.ExceedLimit", "The name")

    @field_validator("description")
    @classmethod
    def _description_fits(cls, value: str) -> str:
        return check_description(value)

    @field_validator("working_dir")
    @classmethod
    def _working_dir_fits(cls, value: str) -> str:
        return check_working_dir(value)

    @field_validator("type")
    @classmethod
    def _type_is_known(cls, value: str) -> str:
        if value not in set(CommandType):
            raise refusal("InvalidCmdType.NotFound", f"Cannot use {value!r}; there are {', '.join(CommandType)}.")
        return value

    @field_validator("interpolation")
    @classmethod
    def _interpolation_is_known(cls, value: str) -> str:
        if value not in set(Interpolation):
            raise refusal("InvalidParameter.Interpolation", f"Cannot use {value!r}; there are text and env.")
        return value


class InvokeRequest(Request):
    """What both ways of running a command have in common (spec 2.5, 2.6)."""

    parameters: Mapping[str, Any] | None = None
    username: str = ""
    termination_mode: str = TerminationMode.PROCESS_TREE
    deliver_within_s: int | None = None
    client_token: str | None = None
    dry_run: bool = False

    @field_validator("username")
    @classmethod
    def _username_fits(cls, value: str) -> str:
        _printable(value, "InvalidParameter", "The username")
        return _at_most(value, limits.USERNAME_CHARS, "Username.ExceedLimit", "The username")

    @field_validator("termination_mode")
    @classmethod
    def _mode_is_known(cls, value: str) -> str:
        if value not in set(TerminationMode):
            raise refusal("InvalidTerminationMode.NotFound", f"Cannot use {value!r}; use Process or ProcessTree.")
        return value

    @field_validator("deliver_within_s")
    @classmethod
    def _window_fits(cls, value: int | None) -> int | None:
        if value is not None and not 1 <= value <= limits.DELIVER_WITHIN_MAX_S:
            bound = f"it must be 1 to {limits.DELIVER_WITHIN_MAX_S} seconds (7 days)"
            raise refusal("InvalidParameter.DeliverWithin", f"Cannot use {value}: {bound}.")
        return value

    @field_validator("client_token")
    @classmethod
    def _token_fits(cls, value: str | None) -> str | None:
        return check_client_token(value)


def check_client_token(value: str | None) -> str | None:
    """Refuse a client token that is not 1 to 64 ASCII characters."""
    if value is not None and not (value.isascii() and 1 <= len(value) <= limits.CLIENT_TOKEN_CHARS):
        bound = f"{value[:80]!r} has {len(value)} characters; it must be 1 to {limits.CLIENT_TOKEN_CHARS} of ASCII."
        raise refusal("InvalidClientToken.Malformed", bound)
    return value


def check_description(value: str) -> str:
    """Refuse a description that is too long or holds control characters other than line ends."""
    _printable(value.replace("\n", " "), "InvalidParameterCharacter.CommandDescription", "The description")
    return _at_most(value, limits.DESCRIPTION_CHARS, "CmdDesc.ExceedLimit", "The description")


def check_working_dir(value: str) -> str:
    """Refuse a working directory that is too long or holds control characters."""
    _printable(value, "InvalidParameterCharacter.CommandWorkingDir", "The working directory")
    return _at_most(value, limits.WORKING_DIR_CHARS, "InvalidParameter.WorkingDir", "The working directory")


def check_statuses(texts: str | Sequence[str]) -> list[InstanceStatus]:
    """Return the statuses of instances that are meant, written in any case."""
    known = {status.lower(): status for status in InstanceStatus}
    given = [texts] if isinstance(texts, str) else texts
    for text in given:
        if text.lower() not in known:
            raise refusal("InvalidParameter.Status", f"Cannot use {text!r}; there are {', '.join(InstanceStatus)}.")
    return [known[text.lower()] for text in given]


def check_timeout(value: int, maximum_s: int) -> int:
    """Refuse a timeout out of range; it is never silently another one (docs/decisions/0005)."""
    if not 1 <= value <= maximum_s:
        code = "InvalidTimeout.ExceedLimit" if value > maximum_s else "InvalidParameter.Timeout"
        raise refusal(code, f"Cannot use {value}: it must be 1 to {maximum_s} seconds.")
    return value
