"""Run, invoke, stop and retry: what starts and ends invocations (spec 2.5 to 2.7)."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from fleethand_common import ids, messages, templates
from fleethand_common.commands import RepeatMode, TerminationMode
from fleethand_common.errors import ExecutionError, RequestError
from fleethand_dispatcher import content
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.catalogue import Catalogue
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.launching import Admission, Launch, Launcher
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_dispatcher.models import Command, StopDisposition
from fleethand_dispatcher.requests import (
    CommandRequest,
    InvokeRequest,
    Request,
    TargetsRequest,
    check_client_token,
    check_statuses,
    check_timeout,
    parse,
)
from fleethand_dispatcher.rows import Snapshot
from fleethand_dispatcher.scheduling.policy import ScheduleRequest, part
from fleethand_dispatcher.scheduling.starting import Draft, Starter, Wish
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.stopping import Stopper
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.targets import Resolved, Targets, resolve

_CHUNK = 1000


class Started(NamedTuple):
    """What a call to run something made; `invoke_id` is empty for a dry run."""

    invoke_id: str
    command_id: str


NOTHING = Started("", "")


class Runner:
    """Starts and stops invocations, behind every door."""

    def __init__(
        self, store: Store, writer: LetterWriter, courier: Courier, catalogue: Catalogue, settings: Settings
    ) -> None:
        self._store = store
        self._writer = writer
        self._courier = courier
        self._catalogue = catalogue
        self._settings = settings
        self._launcher = Launcher(store, writer, courier, settings)
        self._stopper = Stopper(store, courier, settings, writer)
        self._starter = Starter(store, settings)

    def create_once(self, values: Mapping[str, Any], client_token: str | None) -> Command:
        """Keep a new command, once per client token."""
        made = self._catalogue.make(values)
        digest = _digest("create", repr(sorted(values.items())))

        def start(plan: Started) -> Started:
            self._catalogue.keep(made.model_copy(update={"command_id": plan.command_id}))
            return plan

        plan = Started("", made.command_id)
        started = self._once("create_command", check_client_token(client_token), digest, plan, start)
        return self._catalogue.get(started.command_id)

    def run(
        self,
        command: Mapping[str, Any],
        invoke: Mapping[str, Any],
        targets: Mapping[str, Any],
        *,
        keep: bool,
        admission: Admission,
    ) -> Started:
        """Make a command, kept or not, and run it."""
        timing, request = _parse_invoke(invoke)
        limit = self._settings.kept_content_bytes if keep else self._settings.unkept_content_bytes
        made = self._catalogue.build(parse(CommandRequest, command), limit, self._store.now_ms() if keep else 0)
        if keep and not made.name:
            raise refusal("MissingParameter.Name", "A kept command needs a name.")
        aim = parse(TargetsRequest, targets)
        what = made.model_dump_json(exclude={"command_id", "creation_time"})
        digest = _digest("run", what, request, aim, timing, str(keep), admission.permit.actor)

        def start(plan: Started) -> Started:
            command = made.model_copy(update={"command_id": plan.command_id})
            launch = self._prepare(command, request, aim)
            draft = self._starter.draft(Wish(plan.invoke_id, timing, aim, command, keep, admission.permit), launch)
            admission.check("" if request.dry_run else plan.invoke_id, launch)
            if request.dry_run:
                return NOTHING
            hosts_version: int | None = self._count_today(launch.now_ms)
            if keep:
                self._catalogue.keep(command)
                hosts_version = None  # some round trips old by now
            return self._launch(plan.invoke_id, launch, draft, hosts_version, counted=keep)

        return self._once("run_command", request.client_token, digest, _plan(made.command_id), start)

    def invoke(
        self,
        command_id: str,
        invoke: Mapping[str, Any],
        targets: Mapping[str, Any],
        overrides: Mapping[str, Any],
        *,
        admission: Admission,
    ) -> Started:
        """Run a kept command, with its own timeout and directory unless *overrides* has others."""
        timing, request = _parse_invoke(invoke)
        aim = parse(TargetsRequest, targets)
        command = self._override(self._catalogue.get(command_id), overrides)
        given = repr(sorted(overrides.items()))
        digest = _digest("invoke", command.command_id, request, aim, timing, given, admission.permit.actor)

        def start(plan: Started) -> Started:
            launch = self._prepare(command, request, aim)
            wish = Wish(plan.invoke_id, timing, aim, command, is_kept=True, permit=admission.permit)
            draft = self._starter.draft(wish, launch)
            admission.check("" if request.dry_run else plan.invoke_id, launch)
            if request.dry_run:
                return NOTHING
            hosts_version = self._count_today(launch.now_ms)
            return self._launch(plan.invoke_id, launch, draft, hosts_version, counted=True)

        return self._once("invoke_command", request.client_token, digest, _plan(command_id), start)

    def retry(self, invoke_id: str, only: Sequence[str], *, admission: Admission) -> Started:
        """Run the same once more on the instances that are in one of the statuses *only*."""
        statuses = set(check_statuses(only))
        head = self._store.invocations.head(invoke_id)
        body = self._store.invocations.orders([invoke_id])[0]
        if head is None or body is None:
            raise refusal("InvalidInvokeId.NotFound", f"There is no invocation {invoke_id!r}.")
        if head.snapshot.repeat_mode is RepeatMode.PERIOD:
            way_out = "name one of its runs, which describe_schedule_runs lists."
            raise refusal("InvalidOperation.RepeatModeUnsupported", f"{invoke_id} is a schedule: {way_out}")
        instance_ids = [
            instance_id
            for chunk in self._chunks(invoke_id)
            for instance_id, row in zip(chunk, self._store.invocations.rows(invoke_id, chunk), strict=True)
            if row and row.status in statuses
        ]
        if not instance_ids:
            asked = ", ".join(sorted(statuses))
            raise refusal("MissingParam.InstanceId", f"No instance of {invoke_id} is {asked}: nothing to retry.")
        targets, now_ms = self._resolve(TargetsRequest(instance_ids=tuple(instance_ids)))
        order: messages.ExecutionOrder = messages.decode_order(body)
        launch = Launch(snapshot=head.snapshot, parameters=order.parameters, targets=targets, now_ms=now_ms)
        plan = _plan(head.snapshot.command_id)
        admission.check(plan.invoke_id, launch)
        return self._launch(plan.invoke_id, launch, None, self._count_today(now_ms), counted=False)

    def preview(self, targets: Mapping[str, Any]) -> Targets:
        """Return which instances a call would reach."""
        return self._resolve(parse(TargetsRequest, targets)).targets

    def stop(self, invoke_id: str, instance_ids: Sequence[str]) -> dict[str, StopDisposition]:
        """Withdraw what was not sent, ask the hosts to stop the rest."""
        return self._stopper.stop(invoke_id, instance_ids)

    def _chunks(self, invoke_id: str) -> list[list[str]]:
        everyone = self._store.invocations.targets(invoke_id)
        return [everyone[i : i + _CHUNK] for i in range(0, len(everyone), _CHUNK)]

    def _override(self, command: Command, overrides: Mapping[str, Any]) -> Command:
        changed = {name: value for name, value in overrides.items() if value is not None}
        request = parse(CommandRequest, changed)
        if "timeout_s" in changed:
            check_timeout(request.timeout_s, self._settings.timeout_max_s)
        return command.model_copy(update={name: getattr(request, name) for name in changed})

    def _resolve(self, request: TargetsRequest) -> Resolved:
        return resolve(
            request,
            self._store,
            self._writer.peers,
            online_within_ms=self._settings.online_within_s * 1000,
            maximum=self._settings.instances_per_call_max,
        )

    def _prepare(self, command: Command, request: InvokeRequest, aim: TargetsRequest) -> Launch:
        """Check everything that is left to check, so that nothing is sent of a request that cannot be met."""
        values = content.check_values(
            request.parameters,
            command.parameter_names,
            command.parameter_definitions,
            enabled=command.enable_parameter,
        )
        secret = [d.parameter_name for d in command.parameter_definitions if d.secret]
        snapshot = Snapshot(
            command_id=command.command_id,
            command_name=command.name,
            command_description=command.description,
            command_type=command.type,
            command_content=command.command_content,
            enable_parameter=command.enable_parameter,
            interpolation=command.interpolation,
            parameters=content.mask(values, secret),
            secret_names=secret,
            timeout_s=command.timeout_s,
            stop_grace_s=self._settings.stop_grace_s,
            working_dir=command.working_dir,
            username=request.username,
            termination_mode=TerminationMode(request.termination_mode),
            deliver_within_s=request.deliver_within_s,
        )
        self._check_filled_size(command, values)
        targets, now_ms = self._resolve(aim)
        return Launch(snapshot=snapshot, parameters=values, targets=targets, now_ms=now_ms)

    def _check_filled_size(self, command: Command, values: Mapping[str, str]) -> None:
        if not command.enable_parameter:
            return
        stand_in = dict.fromkeys(templates.BUILT_INS, "")
        try:
            filled, environment = templates.render(
                command.command_content,
                values,
                stand_in,
                command.type,
                command.interpolation,
            )
        except ExecutionError:
            return  # an unknown built-in ends as Invalid on each instance, as the API has it
        content.check_size(filled + "".join(environment.values()), self._settings.unkept_content_bytes)

    def _count_today(self, now_ms: int) -> int:
        """Count one more invocation of the day, before anything else is written; returns the hosts' version."""
        counted = self._store.count_today(now_ms)
        if counted.today > self._settings.invocations_per_day_max:
            bound = f"{self._settings.invocations_per_day_max} a day are allowed (invocations_per_day_max)."
            raise refusal("Invocation.ExceedQuota", bound)
        return counted.hosts_version

    def _launch(
        self, invoke_id: str, launch: Launch, draft: Draft | None, hosts_version: int | None, *, counted: bool
    ) -> Started:
        is_new = self._starter.start(draft) if draft else self._launcher.launch(invoke_id, launch, hosts_version)
        if is_new and counted:
            self._store.commands.invoked(launch.snapshot.command_id)
        return Started(invoke_id, launch.snapshot.command_id)

    def _once(
        self, verb: str, client_token: str | None, digest: str, plan: Started, start: Callable[[Started], Started]
    ) -> Started:
        """Run *start* once per client token; a second call gets the first one's answer (spec 1.7).

        The ids are chosen before anything happens and stand with the token, so that a call which was cut off is
        carried on by the next one with the same token, under the same ids: it cannot happen twice.
        """
        if client_token is None:
            return start(plan)
        token = self._store.claim_token(verb, client_token, digest, " ".join(plan))
        if token.digest != digest:
            raise refusal("IdempotentParameterMismatch", f"Token: {client_token!r}.")
        is_first = token.answer == " ".join(plan)
        plan = Started(*token.answer.split(" "))
        if token.settled or (not is_first and self._happened(plan)):
            return plan
        try:
            started = start(plan)
        except RequestError:
            self._store.settle_token(verb, client_token, None)
            raise
        self._store.settle_token(verb, client_token, None if started == NOTHING else token)
        return started

    def _happened(self, plan: Started) -> bool:
        return bool(plan.invoke_id) and self._store.invocations.head(plan.invoke_id) is not None


def _parse_invoke(arguments: Mapping[str, Any]) -> tuple[ScheduleRequest, InvokeRequest]:
    """Return when and how a command is to run."""
    when, how = part(arguments)
    timing = parse(ScheduleRequest, when)
    if timing.repeat_mode == RepeatMode.DRY_RUN:
        how["dry_run"] = True
    return timing, parse(InvokeRequest, how)


def _plan(command_id: str) -> Started:
    return Started(ids.new_id(ids.INVOCATION_PREFIX), command_id)


def _digest(*parts: Any) -> str:
    flat = [repr(p.model_dump(exclude={"client_token"})) if isinstance(p, Request) else p for p in parts]
    return hashlib.blake2b(msgspec.json.encode(flat), digest_size=16).hexdigest()
