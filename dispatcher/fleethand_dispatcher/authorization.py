"""What each verb of the `Dispatcher` needs: its action, and what it is done to (spec 14.1).

`authorized` puts every verb behind this table; a verb that has no row here cannot be defined.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from fleethand_common.errors import RequestError
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.gate import INSTANCE, Gate
from fleethand_dispatcher.models import Page, TargetPreview

C = TypeVar("C", bound=type)
Arguments = Mapping[str, Any]


class Names(NamedTuple):
    """What a call is done to, such as `instance/web-1`, and how the reference writes it."""

    of: Callable[[Arguments], Sequence[str]]
    shown: str


class Need(NamedTuple):
    """An action, and what it is done to: each of it must be allowed."""

    action: str
    on: Names


@dataclass(frozen=True, kw_only=True)
class Verb:
    """What a verb needs before it begins, and what of its answer is shown."""

    needs: tuple[Need, ...] = ()
    changes: bool = False
    """Whether a call that is allowed is written into the audit log."""
    invocation: str = ""
    """The action by which the invocation that the call names must be visible."""
    tells: tuple[str, ...] = ()
    """Arguments that the audit log keeps beside what it is done to; never content."""
    admits: str = ""
    """The action that the service asks for itself, by `Gate.admission`, when it knows the targets."""
    stops: str = ""
    """The action that must be allowed on the named instances of the invocation, or on all."""
    alters: str = ""
    """The action that must be allowed on all instances of the invocation."""
    shows: Callable[[Gate, Any], Any] | None = None
    """Leaves out of the answer what may not be shown."""


OPEN = Verb()
"""Does nothing for a caller; not even an API key is asked for."""


def named(kind: str, argument: str) -> Names:
    """Return the names of what an argument has, an id or several; none if it has none."""

    def names(arguments: Arguments) -> Sequence[str]:
        value = arguments.get(argument) or ()
        return [f"{kind}/{name}" for name in ((value,) if isinstance(value, str) else value)]

    return Names(names, f"{kind}/<{argument}>")


def always(name: str) -> Names:
    """Return the same name for every call."""
    return Names(lambda _: (name,), name)


def page(action: str, name_of: Callable[[Any], str]) -> Callable[[Gate, Any], Any]:
    """Leave out of a page what may not be shown; a page may so have fewer items than were asked for."""

    def shows(gate: Gate, answer: "Page[Any]") -> "Page[Any]":
        seen = gate.seen(action, [name_of(item) for item in answer.items])
        items = [item for item, is_seen in zip(answer.items, seen, strict=True) if is_seen]
        return answer.model_copy(update={"items": items})

    return shows


def stream(action: str) -> Callable[[Gate, Any], Any]:
    """Leave out of what is yielded what is of an instance that may not be shown."""

    def shows(gate: Gate, answer: Iterator[Any]) -> Iterator[Any]:
        known: dict[str, bool] = {}
        for item in answer:
            name = item.instance_id
            if name not in known:
                known[name] = gate.sees(action, INSTANCE + name)
            if known[name]:
                yield item

    return shows


def _invocations(gate: Gate, answer: "Page[Any]") -> "Page[Any]":
    items = [item for item in answer.items if gate.sees_invocation("ecs:DescribeInvocations", item.invoke_id)]
    return answer.model_copy(update={"items": items})


def _schedules(gate: Gate, answer: "Page[Any]") -> "Page[Any]":
    items = [item for item in answer.items if gate.sees_invocation(_SCHEDULES, item.invoke_id)]
    return answer.model_copy(update={"items": items})


def _resolved(gate: Gate, answer: str) -> str:
    gate.demand_invocation("ecs:DescribeInvocations", answer)
    return answer


def _preview(gate: Gate, answer: TargetPreview) -> TargetPreview:
    gate.demand("ecs:DescribeInstances", [INSTANCE + name for name in answer.instance_ids])
    return answer


def _instance_of(item: Any) -> str:
    return f"{INSTANCE}{item.instance_id}"


_INVOCATIONS = "ecs:DescribeInvocations"
_RESULTS = "ecs:DescribeInvocationResults"
_SCHEDULES = "fleethand:DescribeSchedules"
_INSTANCES = "ecs:DescribeInstances"
_STATUS = "ecs:DescribeCloudAssistantStatus"
_MANAGED = "ecs:DescribeManagedInstances"
_COMMANDS = "ecs:DescribeCommands"
_ACTIVATIONS = "ecs:DescribeActivations"


_NOT_YET_ONE = Names(lambda arguments: () if arguments["invoke_id"] else ("schedule/*",), "schedule/*")
"""What could become a schedule; one that is there is seen by its instances."""


def _change(action: str, on: Names, *tells: str) -> Verb:
    return Verb(needs=(Need(action, on),), changes=True, tells=tells)


def _read(action: str, name: str) -> Verb:
    return Verb(needs=(Need(action, always(name)),))


VERBS: dict[str, Verb] = {
    "close": OPEN,
    "of_stack": OPEN,
    "as_principal": OPEN,
    "server_time": Verb(),
    # commands
    "create_command": _change("ecs:CreateCommand", always("command/*"), "name"),
    "modify_command": _change("ecs:ModifyCommand", named("command", "command_id"), "name"),
    "clone_command": Verb(
        needs=(Need("ecs:CreateCommand", always("command/*")), Need(_COMMANDS, named("command", "command_id"))),
        changes=True,
        tells=("command_id",),
    ),
    "delete_command": _change("ecs:DeleteCommand", named("command", "command_id")),
    "describe_commands": Verb(
        needs=(Need(_COMMANDS, named("command", "command_id")),),
        shows=page(_COMMANDS, lambda item: f"command/{item.command_id}"),
    ),
    "render": Verb(
        needs=(Need(_COMMANDS, named("command", "command_id")), Need(_INSTANCES, named("instance", "instance_id")))
    ),
    # invocations
    "run_command": Verb(admits="ecs:RunCommand"),
    "invoke_command": Verb(admits="ecs:InvokeCommand"),
    "retry_invocation": Verb(admits="ecs:RunCommand", invocation=_INVOCATIONS),
    "stop_invocation": Verb(stops="ecs:StopInvocation"),
    "describe_invocations": Verb(
        needs=(Need(_INVOCATIONS, named("instance", "instance_id")),), invocation=_INVOCATIONS, shows=_invocations
    ),
    "describe_invocation": Verb(invocation=_INVOCATIONS),
    "invocation_status": Verb(invocation=_INVOCATIONS),
    "invocation": Verb(invocation=_INVOCATIONS),
    "wait": Verb(invocation=_INVOCATIONS),
    "resolve_invocation": Verb(shows=_resolved),
    "describe_invocation_results": Verb(
        needs=(Need(_RESULTS, named("instance", "instance_id")),),
        invocation=_RESULTS,
        shows=page(_RESULTS, _instance_of),
    ),
    "iter_results": Verb(invocation=_RESULTS, shows=stream(_RESULTS)),
    "follow": Verb(invocation=_RESULTS, shows=stream(_RESULTS)),
    "explain": Verb(needs=(Need(_RESULTS, named("instance", "instance_id")),)),
    # schedules
    "describe_schedules": Verb(invocation=_SCHEDULES, shows=_schedules),
    "describe_schedule_runs": Verb(invocation=_SCHEDULES),
    "preview_schedule": Verb(needs=(Need(_SCHEDULES, _NOT_YET_ONE),), invocation=_SCHEDULES),
    "pause_schedule": Verb(alters="fleethand:PauseSchedule"),
    "resume_schedule": Verb(alters="fleethand:ResumeSchedule"),
    "modify_invocation_attribute": Verb(alters="ecs:ModifyInvocationAttribute"),
    # instances
    "describe_instances": Verb(
        needs=(Need(_INSTANCES, named("instance", "instance_ids")),), shows=page(_INSTANCES, _instance_of)
    ),
    "describe_cloud_assistant_status": Verb(
        needs=(Need(_STATUS, named("instance", "instance_ids")),), shows=page(_STATUS, _instance_of)
    ),
    "preview_targets": Verb(shows=_preview),
    "describe_managed_instances": Verb(
        needs=(Need(_MANAGED, named("instance", "instance_ids")),), shows=page(_MANAGED, _instance_of)
    ),
    "modify_managed_instance": _change("ecs:ModifyManagedInstance", named("instance", "instance_id"), "instance_name"),
    "deregister_managed_instance": _change("ecs:DeregisterManagedInstance", named("instance", "instance_id")),
    "provision_instance": _change("fleethand:ProvisionInstance", named("instance", "instance_id"), "name"),
    "create_activation": _change("ecs:CreateActivation", always("activation/*"), "instance_name", "instance_count"),
    "describe_activations": Verb(
        needs=(Need(_ACTIVATIONS, named("activation", "activation_id")),),
        shows=page(_ACTIVATIONS, lambda item: f"activation/{item.activation_id}"),
    ),
    "disable_activation": _change("ecs:DisableActivation", named("activation", "activation_id")),
    "delete_activation": _change("ecs:DeleteActivation", named("activation", "activation_id")),
    # who may what, and what was done
    "create_principal": _change("fleethand:CreatePrincipal", named("principal", "name"), "kind", "policies"),
    "describe_principals": _read("fleethand:DescribePrincipals", "principal/*"),
    "disable_principal": _change("fleethand:ModifyPrincipal", named("principal", "name")),
    "enable_principal": _change("fleethand:ModifyPrincipal", named("principal", "name")),
    "delete_principal": _change("fleethand:DeletePrincipal", named("principal", "name")),
    "rotate_principal_key": _change("fleethand:RotatePrincipalKey", named("principal", "name"), "overlap_s"),
    "create_policy": _change("fleethand:CreatePolicy", named("policy", "name"), "replace"),
    "delete_policy": _change("fleethand:DeletePolicy", named("policy", "name")),
    "describe_policies": _read("fleethand:DescribePolicies", "policy/*"),
    "attach_policy": _change("fleethand:AttachPolicy", named("principal", "principal"), "policies"),
    "detach_policy": _change("fleethand:DetachPolicy", named("principal", "principal"), "policies"),
    "simulate_policy": Verb(needs=(Need("fleethand:SimulatePolicy", named("principal", "principal")),)),
    "iter_audit_log": _read("fleethand:DescribeAuditLog", "audit/log"),
    "verify_audit_log": _read("fleethand:DescribeAuditLog", "audit/log"),
    # the fleet as a whole
    "freeze": _change("fleethand:Freeze", always("fleet/all"), "reason"),
    "unfreeze": _change("fleethand:Unfreeze", always("fleet/all")),
    "freeze_status": _read("fleethand:DescribeFreeze", "fleet/all"),
    "describe_signing_keys": _read("fleethand:DescribeSigningKeys", "signing-key/*"),
    "rotate_signing_key": _change("fleethand:RotateSigningKey", named("signing-key", "name")),
    "revoke_signing_key": _change("fleethand:RevokeSigningKey", named("signing-key", "name"), "force"),
    "verify_invocation": _read("fleethand:DescribeSecurity", "report/*"),
    "security_counts": _read("fleethand:DescribeSecurity", "report/*"),
    "dead_reports": _read("fleethand:DescribeDeadReports", "report/*"),
    "drop_dead_reports": _change("fleethand:DropDeadReports", always("report/*")),
}


def authorized(cls: C) -> C:
    """Put every public verb of a class behind the gate that its instances have as `_gate`.

    Raises:
        TypeError: a verb has no row in `VERBS`.
    """
    for name, function in inspect.getmembers(cls, callable):
        if name.startswith("_"):
            continue
        if name not in VERBS:
            raise TypeError(f"{cls.__name__}.{name} has no row in authorization.VERBS: say what it needs")
        if VERBS[name] is not OPEN:
            setattr(cls, name, _behind(VERBS[name], function))
    return cls


def _behind(verb: Verb, function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        gate: Gate = self._gate
        gate.enter()
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        _ask(gate, verb, bound.arguments)
        answer = _carried_out(gate, verb, bound.arguments, functools.partial(function, self, *args, **kwargs))
        return answer if verb.shows is None else verb.shows(gate, answer)

    return guarded(checked)


def _ask(gate: Gate, verb: Verb, arguments: Arguments) -> None:
    for need in verb.needs:
        gate.demand(need.action, need.on.of(arguments))
    invoke_id = arguments.get("invoke_id")
    if verb.invocation and invoke_id:
        gate.demand_invocation(verb.invocation, invoke_id)
    if verb.stops:
        gate.demand_on_all(verb.stops, str(invoke_id), arguments["instance_ids"])
    if verb.alters:
        gate.demand_on_all(verb.alters, str(invoke_id), ())


def _carried_out(gate: Gate, verb: Verb, arguments: Arguments, call: Callable[[], Any]) -> Any:
    """Carry out a call; one that changes something is told before it happens, and again if it was refused."""
    if not verb.changes:
        return call()
    need = verb.needs[0]
    names = need.on.of(arguments)
    detail = " ".join(f"{name}={arguments[name]}" for name in verb.tells if arguments[name] is not None)
    gate.tell(need.action, "allowed", names, detail=detail)
    try:
        return call()
    except RequestError as error:
        gate.tell(need.action, "refused", names, detail=str(error.code))
        raise
