"""The Python API: one method per verb, with the API's names in snake_case.

Everything that may be wrong with a request is found before anything is sent, and said with the API's code.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from fleethand_common import clock
from fleethand_common.commands import CommandType, Interpolation
from fleethand_common.states import InvocationStatus
from fleethand_dispatcher.activations import Activations
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.authorization import authorized
from fleethand_dispatcher.bus import RedisOrderBus
from fleethand_dispatcher.catalogue import Catalogue
from fleethand_dispatcher.connection import guarded, guarded_iterator
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.fleet import Fleet
from fleethand_dispatcher.gate import Gate
from fleethand_dispatcher.invocation import RETRY_BY_DEFAULT, Invocation
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_dispatcher.managed_instances import ManagedInstances
from fleethand_dispatcher.models import (
    CloudAssistantStatus,
    Explanation,
    Instance,
    InvocationEvent,
    InvocationRecord,
    InvocationResult,
    Page,
    ParameterDefinition,
    Rendering,
    StopDisposition,
    TargetPreview,
)
from fleethand_dispatcher.peers import Peers
from fleethand_dispatcher.principals import Principals
from fleethand_dispatcher.provisioning import Provisioning
from fleethand_dispatcher.reading import Reader, accepting
from fleethand_dispatcher.rendering import rendering
from fleethand_dispatcher.requests import CommandRequest, check_statuses, parse
from fleethand_dispatcher.running import Runner, Started
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.verbs.activations import ActivationVerbs
from fleethand_dispatcher.verbs.audit import AuditVerbs
from fleethand_dispatcher.verbs.commands import CommandVerbs
from fleethand_dispatcher.verbs.freeze import FreezeVerbs
from fleethand_dispatcher.verbs.managed_instances import ManagedInstanceVerbs
from fleethand_dispatcher.verbs.principals import PrincipalVerbs
from fleethand_dispatcher.verbs.reports import ReportVerbs
from fleethand_dispatcher.verbs.schedules import ScheduleVerbs
from fleethand_dispatcher.verbs.signing_keys import SigningKeyVerbs


@authorized
class Dispatcher(
    ActivationVerbs,
    AuditVerbs,
    CommandVerbs,
    FreezeVerbs,
    ManagedInstanceVerbs,
    PrincipalVerbs,
    ReportVerbs,
    ScheduleVerbs,
    SigningKeyVerbs,
):
    """Runs commands on a fleet and tells what became of them.

    What each verb needs of the caller's policies is the table in `authorization.py`, which every call passes.

    Args:
        redis_url: the server; without it, the one of *settings*.
        settings: everything else; the defaults are fine.
        keyring: the control plane's keys; without it, those in the folder that *settings* name.
        api_key: of the principal whose policies count; without it and one in *settings*, everything is allowed.

    Every method raises `RequestError` with the API's code for a request that cannot be met, and
    `ServerUnavailableError` when Redis cannot be reached.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        settings: Settings | None = None,
        keyring: Keyring | None = None,
        api_key: str | None = None,
    ) -> None:
        settings = settings or Settings()
        self._settings = replace(settings, redis_url=redis_url) if redis_url else settings
        self._keyring = keyring or Keyring.load(self._settings.keys_path())
        self._store = Store.at(self._settings.server_url(), self._keyring.vault)
        bus = RedisOrderBus(self._store.client)
        courier = Courier(self._store, bus, self._settings)
        self._directives = Directives(self._store, bus, self._keyring)
        self._principals = Principals(self._store.principals)
        self._gate = Gate(
            self._store,
            self._settings,
            self._directives,
            api_key=self._settings.api_key if api_key is None else api_key,
        )
        self._catalogue = Catalogue(self._store, self._settings)
        writer = LetterWriter(self._keyring, Peers(self._store.hosts))
        self._runner = Runner(self._store, writer, courier, self._catalogue, self._settings)
        self._reader = Reader(self._store)
        self._fleet = Fleet(self._store, self._settings)
        self._activations = Activations(self._store, self._settings)
        self._managed_instances = ManagedInstances(self._store, self._settings)
        self._provisioning = Provisioning(self._store, self._keyring, self._settings)

    @classmethod
    def of_stack(cls, data: str | Path | None = None) -> "Dispatcher":
        """Return a dispatcher on the server that `fleethand up` runs in the data directory *data*.

        Raises:
            SettingsError: nothing runs there.
        """
        from fleethand_dispatcher.stack.data_dir import (  # noqa: PLC0415 - POSIX only
            DataDir,
            default_data_dir,
            resolve_redis_url,
        )

        folder = default_data_dir() if data is None else Path(data)
        users_url = resolve_redis_url(folder, admin=True)
        settings = Settings(redis_url=resolve_redis_url(folder), users_redis_url=users_url)
        return cls(settings=settings, keyring=Keyring.load(DataDir(folder).keys))

    def __enter__(self) -> "Dispatcher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; invocations go on."""
        self._store.close()

    @guarded
    def run_command(
        self,
        *,
        command_content: str,
        type: str = CommandType.SHELL,  # noqa: A002
        content_encoding: str = "PlainText",
        name: str = "",
        description: str = "",
        keep_command: bool = False,
        working_dir: str = "",
        timeout_s: int = 60,
        enable_parameter: bool = False,
        interpolation: str = Interpolation.TEXT,
        parameter_definitions: Sequence[ParameterDefinition | Mapping[str, Any]] = (),
        **invoke: Any,
    ) -> Invocation:
        """Run a command on instances at once, and return without waiting for it (spec 2.5).

        Args:
            keep_command: keep it for `invoke_command`; it then needs a name, and its content may have 18 KB, not 24.
            invoke: the arguments of `invoke_command` from *parameters* on.
        """
        command = {
            "command_content": command_content,
            "type": type,
            "content_encoding": content_encoding,
            "name": name,
            "description": description,
            "working_dir": working_dir,
            "timeout_s": timeout_s,
            "enable_parameter": enable_parameter,
            "interpolation": interpolation,
            "parameter_definitions": tuple(parameter_definitions),
        }
        request, targets = _split(invoke)
        admission = self._gate.admission("ecs:RunCommand")
        return self._handle(self._runner.run(command, request, targets, keep=keep_command, admission=admission))

    @guarded
    def invoke_command(
        self, command_id: str, *, timeout_s: int | None = None, working_dir: str | None = None, **invoke: Any
    ) -> Invocation:
        """Run a kept command on instances (spec 2.6).

        Args:
            timeout_s: instead of the command's own, for this invocation; so is *working_dir*.
            invoke: what and where:
                `parameters` (name to value), `username`, `termination_mode`, `deliver_within_s` (how long the order
                may wait for hosts that are offline), `client_token` (the same token makes the call once), `dry_run`;
                and the targets, one of `instance_ids`, `tags` and `names` (globs), `all_instances`; `limit` takes the
                first 25 or `10%` of them by id, `require_known` refuses ids that no host has;
                and when: `frequency` (`rate(5m)`, `at(…)` or cron), with `overlap` (skip, queue, parallel),
                `misfire` (skip, latest, all), `jitter_s`, `start_at`, `end_at`, `max_runs`, `blackout` and
                `stop_on_failure`; `repeat_mode` follows from it.
        """
        request, targets = _split(invoke)
        overrides = {"timeout_s": timeout_s, "working_dir": working_dir}
        admission = self._gate.admission("ecs:InvokeCommand", f"command/{command_id}")
        return self._handle(self._runner.invoke(command_id, request, targets, overrides, admission=admission))

    def _handle(self, started: Started) -> Invocation:
        return Invocation(self, started.invoke_id, started.command_id)

    @guarded
    def retry_invocation(self, invoke_id: str, *, only: Sequence[str] = RETRY_BY_DEFAULT) -> Invocation:
        """Run the same command again on just the instances whose status is one of *only*."""
        return self._handle(self._runner.retry(invoke_id, only, admission=self._gate.admission("ecs:RunCommand")))

    @guarded
    def stop_invocation(self, invoke_id: str, *, instance_ids: Sequence[str] = ()) -> dict[str, StopDisposition]:
        """Stop an invocation on all its instances, or on the chosen ones (spec 2.7)."""
        return self._runner.stop(invoke_id, instance_ids)

    @guarded
    def describe_invocations(
        self,
        *,
        invoke_id: str | None = None,
        command_id: str | None = None,
        command_name: str | None = None,
        command_type: str | None = None,
        instance_id: str | None = None,
        invocation_status: str | None = None,
        repeat_mode: str | None = None,
        max_results: int = 10,
        next_token: str = "",
    ) -> Page[InvocationRecord]:
        """List invocations that fit every filter, newest first (spec 2.9)."""
        accepts = accepting(
            command_id=command_id,
            command_name=command_name,
            command_type=command_type,
            invocation_status=invocation_status,
            repeat_mode=repeat_mode,
        )
        return self._reader.describe(
            invoke_id=invoke_id,
            instance_id=instance_id,
            accepts=accepts,
            max_results=max_results,
            next_token=next_token,
        )

    @guarded
    def describe_invocation(self, invoke_id: str) -> InvocationRecord:
        """Return one invocation, or refuse with `InvalidInvokeId.NotFound`."""
        return self._reader.record(invoke_id)

    @guarded
    def describe_invocation_results(
        self,
        invoke_id: str | None = None,
        *,
        instance_id: str | None = None,
        invocation_status: str | None = None,
        include_history: bool = False,
        max_results: int = 10,
        next_token: str = "",
    ) -> Page[InvocationResult]:
        """List what instances did: of one invocation, of one instance in all of them, or of one in one (spec 2.10).

        Args:
            include_history: of a schedule, a row for each execution instead of the last one of each instance.
        """
        if include_history:
            return self._history(invoke_id or "", instance_id, invocation_status, max_results, next_token)
        statuses = check_statuses(invocation_status) if invocation_status else None
        if invoke_id and instance_id:
            found = [self._reader.result(invoke_id, instance_id)]
            return Page(items=[item for item in found if not statuses or item.invocation_status in statuses])
        if invoke_id:
            return self._reader.page_of_results(invoke_id, statuses, max_results, next_token)
        if instance_id:
            return self._reader.page_of_instance(instance_id, statuses, max_results, next_token)
        raise refusal("InvalidParameter", "Give an invoke_id or an instance_id.")

    @guarded_iterator
    def iter_results(self, invoke_id: str, *, statuses: Sequence[str] | None = None) -> Iterator[InvocationResult]:
        """Yield the result of every instance of an invocation, or of those in one of *statuses*."""
        return self._reader.results(invoke_id, None if statuses is None else check_statuses(statuses))

    @guarded
    def explain(self, invoke_id: str, instance_id: str) -> Explanation:
        """Return the story of one instance in one invocation: each step with its time and reason."""
        return self._reader.explain(invoke_id, instance_id)

    @guarded
    def invocation_status(self, invoke_id: str) -> InvocationStatus:
        """Return an invocation's status; one small read, whatever the number of its instances."""
        return self._reader.status(invoke_id)

    @guarded
    def wait(self, invoke_id: str, timeout_s: float | None = None) -> InvocationRecord:
        """Block until every instance has finished; see `Invocation.wait`."""
        return self._reader.wait(invoke_id, timeout_s)

    @guarded_iterator
    def follow(self, invoke_id: str, timeout_s: float | None = None) -> Iterator[InvocationEvent]:
        """Yield events until every instance has finished; see `Invocation.follow`."""
        return self._reader.follow(invoke_id, timeout_s)

    @guarded
    def resolve_invocation(self, text: str) -> str:
        """Return the id that `last`, a unique beginning of an id or a whole id stands for."""
        return self._reader.resolve(text)

    @guarded
    def invocation(self, invoke_id: str) -> Invocation:
        """Return a handle on an invocation that was started before."""
        return Invocation(self, invoke_id, self._reader.head(invoke_id).snapshot.command_id)

    @guarded
    def describe_instances(
        self,
        *,
        instance_ids: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        names: Sequence[str] = (),
        online: bool | None = None,
        max_results: int = 50,
        next_token: str = "",
    ) -> Page[Instance]:
        """List the hosts that were ever seen and fit every filter, sorted by id."""
        return self._fleet.describe(
            instance_ids=instance_ids,
            tags=tags or {},
            names=names,
            online=online,
            max_results=max_results,
            next_token=next_token,
        )

    @guarded
    def describe_cloud_assistant_status(
        self,
        *,
        instance_ids: Sequence[str] = (),
        os_type: str | None = None,
        max_results: int = 10,
        next_token: str = "",
    ) -> Page[CloudAssistantStatus]:
        """Tell whether instances can take commands: a heartbeat within two minutes (spec 3.5)."""
        return self._fleet.status(
            instance_ids=instance_ids, os_type=os_type, max_results=max_results, next_token=next_token
        )

    @guarded
    def preview_targets(self, **targets: Any) -> TargetPreview:
        """Return which instances a call with these targets would reach."""
        found = self._runner.preview(targets)
        return TargetPreview(
            instance_ids=found.all, online=len(found.online), offline=len(found.offline), unknown=found.unknown
        )

    @guarded
    def render(
        self,
        *,
        instance_id: str,
        command_id: str | None = None,
        command_content: str | None = None,
        parameters: Mapping[str, str] | None = None,
        type: str = CommandType.SHELL,  # noqa: A002
        interpolation: str = Interpolation.TEXT,
    ) -> Rendering:
        """Return what a host would run, without running it; secrets are shown as they would be sent."""
        if command_id is None:
            asked = {"command_content": command_content or "", "type": type, "interpolation": interpolation}
            request = parse(CommandRequest, {**asked, "enable_parameter": True})
            command = self._catalogue.build(request, self._settings.unkept_content_bytes)
        else:
            command = self._catalogue.get(command_id)
        known = self._fleet.read([instance_id])
        name = known[0].instance_name if known else ""
        return rendering(command, parameters, {"InstanceId": instance_id, "InstanceName": name}, self._settings)

    @guarded
    def server_time(self) -> str:
        """Return the control plane's time as API text; also shows that the server answers."""
        return clock.to_text(self._store.now_ms())


_TARGETS = frozenset({"instance_ids", "tags", "names", "all_instances", "limit", "require_known"})


def _split(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what is to be run from where."""
    given = {name: value for name, value in arguments.items() if value is not None}
    targets = {name: value for name, value in given.items() if name in _TARGETS}
    return {name: value for name, value in given.items() if name not in _TARGETS}, targets
