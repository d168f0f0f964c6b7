"""`modify_invocation_attribute` (spec 2.8): another content, other values, another frequency, more instances.

A run that is under way keeps what it was given; the next one has the new.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from fleethand_common import clock, ids
from fleethand_common.errors import RequestError
from fleethand_dispatcher import content
from fleethand_dispatcher.api_errors import API_ERRORS, refusal
from fleethand_dispatcher.catalogue import Catalogue
from fleethand_dispatcher.launching import Admission, Launch
from fleethand_dispatcher.models import Command
from fleethand_dispatcher.requests import Request, TargetsRequest, parse
from fleethand_dispatcher.schedule_records import Changed, Entries, Joining
from fleethand_dispatcher.schedules.frequency import parse_frequency
from fleethand_dispatcher.scheduling import zones
from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.scheduling.expanding import new_row
from fleethand_dispatcher.scheduling.roster import Roster
from fleethand_dispatcher.scheduling.starting import Starter, check_jitter
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.targets import Targets

_CODES = {
    "CmdContent.DecodeError": "InvalidCommandContent.DecodeError",
    "CmdContent.ExceedLimit": "InvalidCommandContent.LengthLimitExceeded",
    "ParameterCount.ExceedLimit": "InvalidParameters.CountLimitExceeded",
    "ParameterKey.ExceedLimit": "InvalidParameters.KeyLengthLimitExceeded",
    "ParameterKey.Duplicate": "InvalidParameters.KeyDuplicate",
    "Parameter.NotMatched": "InvalidParameters.KeyNotMatch",
    "ParameterType.NotSupported": "InvalidParameters.ValueTypeUnsupported",
    "CmdCount.ExceedQuota": "CommandLimitExceeded",
    "InstanceIds.ExceedLimit": "InvalidInstanceId.CountLimitExceeded",
}
"""This action has names of its own for what other actions call otherwise."""


_KEY = re.compile(r"[A-Za-z0-9_-]+")


class ModifyRequest(Request):
    """What is to be other; what is left out stays."""

    command_content: str | None = None
    content_encoding: str = "PlainText"
    enable_parameter: bool | None = None
    parameters: Mapping[str, Any] | None = None
    frequency: str | None = None
    instance_ids: tuple[str, ...] = ()


class Modifier:
    """Changes living schedules."""

    def __init__(self, store: Store, catalogue: Catalogue, settings: Settings) -> None:
        self._store = store
        self._catalogue = catalogue
        self._settings = settings
        self._starter = Starter(store, settings)

    def modify(self, definition: Definition, values: Mapping[str, Any], admission: Admission) -> str:
        """Change a schedule; the same request a second time changes nothing.

        Returns:
            The id of the command that it runs from now on: a new one if the content is another.

        Raises:
            RequestError: with the codes of spec 2.8, or *admission*'s.
        """
        request = parse(ModifyRequest, values)
        while True:
            done = self._tried(definition, request, admission)
            if done is not None:
                return done
            definition = self._current(definition.id)

    def _current(self, schedule_id: str) -> Definition:
        found = self._store.schedules.definition(schedule_id)
        if not isinstance(found, Definition):
            raise _over(schedule_id)
        return found

    def _tried(self, old: Definition, request: ModifyRequest, admission: Admission) -> str | None:
        """Change the schedule as it was read; returns its command's id, None if it was changed meanwhile."""
        now_ms = self._store.now_ms()
        joining = self._joining(old, request)
        with _renamed_codes():
            changed, command = self._changed_command(old, request)
        changed = self._changed_frequency(changed, request, now_ms)
        if changed == old and not joining:
            return old.snapshot.command_id
        self._admit(changed, joining, admission, now_ms)
        if command is not None and changed.kept:
            with _renamed_codes(limit=self._settings.commands_max):
                self._catalogue.keep(command)
        aim = msgspec.structs.replace(changed.aim, instance_ids=[*changed.aim.instance_ids, *joining])
        new = msgspec.structs.replace(changed, aim=aim, permit=admission.permit, version=old.version + 1)
        entries = self._entries(old, new, joining, now_ms)
        came_to = self._store.schedules.change(old, new, entries, Joining(new_row(now_ms), joining))
        if came_to is Changed.DONE:
            return new.snapshot.command_id
        if command is not None and changed.kept:
            self._store.commands.delete(command.command_id)
        if came_to is Changed.OVER:
            raise _over(old.id)
        return None

    def _admit(self, changed: Definition, joining: Sequence[str], admission: Admission, now_ms: int) -> None:
        """Ask whether the caller may run the changed one: from now on, each run needs the caller's rights."""
        found = (*changed.aim.instance_ids, *joining) if changed.aim.is_fixed else self._roster().matching(changed.aim)
        targets = Targets(tuple(found), (), (), ())
        launch = Launch(snapshot=changed.snapshot, parameters=changed.parameters, targets=targets, now_ms=now_ms)
        admission.check(changed.id, launch)

    def _entries(self, old: Definition, new: Definition, joining: Sequence[str], now_ms: int) -> Entries:
        """Return when it is due from now on; if its frequency stays, a time that is due already still counts."""
        if new.snapshot.frequency != old.snapshot.frequency:
            members = new.aim.instance_ids or self._store.invocations.targets(new.id)
            return Entries(self._starter.entries(new, members, now_ms), replace=True)
        added = self._roster().zones(joining) if new.is_zoned and joining else ()
        return Entries(zones.entries(new, added, now_ms) if added else {}, replace=False)

    def _roster(self) -> Roster:
        return Roster(self._store, self._settings.online_within_s * 1000)

    def _joining(self, definition: Definition, request: ModifyRequest) -> Sequence[str]:
        if not request.instance_ids:
            return ()
        if not definition.aim.is_fixed:
            way_out = "its targets are looked for again at each run; give the host its tag or name."
            raise refusal("InvalidResourceTag.ConflictWithInstanceIds", f"{definition.id} has no ids: {way_out}")
        wanted = parse(TargetsRequest, {"instance_ids": request.instance_ids}).instance_ids
        known = set(definition.aim.instance_ids)
        joining = [i for i in wanted if i not in known]
        most = self._settings.instances_per_call_max
        if len(known) + len(joining) > most:
            bound = f"It would have {len(known) + len(joining)}; {most} are allowed (instances_per_call_max)."
            raise refusal("InvalidInstanceId.CountLimitExceeded", bound)
        return joining

    def _changed_command(self, definition: Definition, request: ModifyRequest) -> tuple[Definition, Command | None]:
        """Return the definition with its new content and values, and the new command if the content is another."""
        snapshot = definition.snapshot
        if request.parameters and not request.enable_parameter:
            raise refusal("Parameter.Disabled", "Pass enable_parameter=True with parameters.")
        _check_keys(request.parameters or {})
        enabled = snapshot.enable_parameter or bool(request.enable_parameter)
        command = self._command(definition, request, enabled=enabled)
        names = list(command.parameter_names) if command else definition.parameter_names
        rules = [rule for rule in definition.rules() if rule.parameter_name in names]
        given = {name: v for name, v in definition.parameters.items() if name in names} | dict(request.parameters or {})
        values = content.check_values(given, names, rules, enabled=True) if enabled else definition.parameters
        secret = [rule.parameter_name for rule in rules if rule.secret]
        snapshot = msgspec.structs.replace(
            snapshot,
            enable_parameter=enabled,
            parameters=content.mask(values, secret),
            secret_names=secret,
            command_id=command.command_id if command else snapshot.command_id,
            command_content=command.command_content if command else snapshot.command_content,
        )
        return (
            msgspec.structs.replace(
                definition,
                snapshot=snapshot,
                parameters=values,
                parameter_names=names,
                parameter_rules=[rule.model_dump() for rule in rules],
            ),
            command,
        )

    def _command(self, definition: Definition, request: ModifyRequest, *, enabled: bool) -> Command | None:
        """Return a new command if the content is another, or is read as a template from now on."""
        snapshot = definition.snapshot
        text = snapshot.command_content
        limit = self._settings.kept_content_bytes if definition.kept else self._settings.unkept_content_bytes
        if request.command_content is not None:
            text = content.decode(request.command_content, request.content_encoding, limit)
        if text == snapshot.command_content and enabled == snapshot.enable_parameter:
            return None
        names = content.parameter_names(text, interpolation=snapshot.interpolation) if enabled else ()
        return Command(
            command_id=ids.new_id(ids.COMMAND_PREFIX),
            name=snapshot.command_name,
            description=snapshot.command_description,
            type=snapshot.command_type,
            command_content=text,
            working_dir=snapshot.working_dir,
            timeout_s=snapshot.timeout_s,
            enable_parameter=enabled,
            interpolation=snapshot.interpolation,
            parameter_names=names,
            parameter_definitions=tuple(rule for rule in definition.rules() if rule.parameter_name in names),
            creation_time=clock.to_datetime(self._store.now_ms()),
        )

    def _changed_frequency(self, definition: Definition, request: ModifyRequest, now_ms: int) -> Definition:
        """Return the definition with its new frequency; a rate still counts from the creation."""
        if request.frequency is None:
            return definition
        timeout_s = definition.snapshot.timeout_s
        try:
            found = parse_frequency(request.frequency, now=clock.to_datetime(now_ms), timeout_s=timeout_s)
        except RequestError as error:
            raise refusal("InvalidParameter.Frequency", f"{error.code}: {error}") from error
        check_jitter(definition.policy.jitter_s, found, now_ms)
        snapshot = msgspec.structs.replace(definition.snapshot, frequency=found.text)
        return msgspec.structs.replace(definition, snapshot=snapshot)


def _over(schedule_id: str) -> RequestError:
    return refusal("InvalidOperation.InvokeAlreadyFinished", f"The schedule {schedule_id} is over.")


def _check_keys(parameters: Mapping[str, Any]) -> None:
    for key in parameters:
        if not key:
            raise refusal("InvalidParameters.KeyEmpty", "One of the names is empty.")
        if not _KEY.fullmatch(key):
            raise refusal("InvalidParameters.KeyMalformed", f"Cannot use {key!r}: letters, digits, '-' and '_'.")


@contextmanager
def _renamed_codes(*, limit: int | None = None) -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        if error.code not in _CODES:
            raise
        detail = str(error).removeprefix(API_ERRORS[error.code].message).strip()
        raise refusal(_CODES[error.code], detail, limit=limit) from error
