"""What each verb of the `Dispatcher` needs: its action, and what it is done to (spec 14.1).

`authorized` puts every verb behind this table; a verb that has no row here cannot be defined.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fleethand_common.errors import RequestError
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.gate import INSTANCE, Gate
from fleethand_dispatcher.models import Page, TargetPreview

C = TypeVar("C", bound=type)
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Need:
    """An action, and the names of what it is done to, of which every one must be allowed."""

    action: str
    on: Callable[[Arguments], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Verb:
    """What a verb needs before it begins, and what of its answer is shown."""

    needs: tuple[Need, ...] = ()
    changes: bool = False
    """Whether a call that is allowed is written into the audit log."""
    invocation: str = ""
    """The action by which the invocation that the call names must be visible."""
    admits: str = ""
    """The action that the service asks for itself, by `Gate.admit`, when it knows the targets."""
    shows: Callable[[Gate, Any], Any] | None = None
    """Leaves out of the answer what may not be shown."""


def named(kind: str, argument: str) -> Callable[[Arguments], Sequence[str]]:
    """Return the names of what an argument has, an id or several; none if it has none."""

    def names(arguments: Arguments) -> Sequence[str]:
        value = arguments.get(argument) or ()
        return [f"{kind}/{name}" for name in ((value,) if isinstance(value, str) else value)]

    return names


def always(*names: str) -> Callable[[Arguments], Sequence[str]]:
    """Return the same names for every call."""
    return lambda _: names


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


def _resolved(gate: Gate, answer: str) -> str:
    gate.demand_invocation("ecs:DescribeInvocations", answer)
    return answer


def _preview(gate: Gate, answer: TargetPreview) -> TargetPreview:
    gate.demand("ecs:DescribeInstances", [INSTANCE + name for name in answer.instance_ids])
    return answer


def _instance_of(item: Any) -> str:
    return f"{INSTANCE}{item.instance_id}"


_SEEN_INVOCATION = "ecs:DescribeInvocations"
_RESULTS = "ecs:DescribeInvocationResults"
_INSTANCES = Need("ecs:DescribeInstances", named("instance", "instance_ids"))
_STATUS = "ecs:DescribeCloudAssistantStatus"

VERBS: dict[str, Verb] = {
    "close": Verb(),
    "of_stack": Verb(),
    "as_principal": Verb(),
    "server_time": Verb(),
    "create_command": Verb(needs=(Need("ecs:CreateCommand", always("command/*")),), changes=True),
    "modify_command": Verb(needs=(Need("ecs:ModifyCommand", named("command", "command_id")),), changes=True),
    "clone_command": Verb(
        needs=(
            Need("ecs:CreateCommand", always("command/*")),
            Need("ecs:DescribeCommands", named("command", "command_id")),
        ),
        changes=True,
    ),
    "delete_command": Verb(needs=(Need("ecs:DeleteCommand", named("command", "command_id")),), changes=True),
    "describe_commands": Verb(
        needs=(Need("ecs:DescribeCommands", named("command", "command_id")),),
        shows=page("ecs:DescribeCommands", lambda item: f"command/{item.command_id}"),
    ),
    "render": Verb(
        needs=(
            Need("ecs:DescribeCommands", named("command", "command_id")),
            Need("ecs:DescribeInstances", named("instance", "instance_id")),
        )
    ),
    "run_command": Verb(admits="ecs:RunCommand"),
    "invoke_command": Verb(admits="ecs:InvokeCommand"),
    "retry_invocation": Verb(admits="ecs:RunCommand", invocation=_SEEN_INVOCATION),
    "stop_invocation": Verb(admits="ecs:StopInvocation"),
    "describe_invocations": Verb(
        needs=(
            Need(_SEEN_INVOCATION, named("instance", "instance_id")),
        ),
        invocation=_SEEN_INVOCATION,
        shows=_invocations,
    ),
    "describe_invocation": Verb(invocation=_SEEN_INVOCATION),
    "invocation_status": Verb(invocation=_SEEN_INVOCATION),
    "invocation": Verb(invocation=_SEEN_INVOCATION),
    "wait": Verb(invocation=_SEEN_INVOCATION),
    "resolve_invocation": Verb(shows=_resolved),
    "describe_invocation_results": Verb(
        needs=(Need(_RESULTS, named("instance", "instance_id")),), invocation=_RESULTS, shows=page(_RESULTS, _instance_of)
    ),
    "iter_results": Verb(invocation=_RESULTS, shows=stream(_RESULTS)),
    "follow": Verb(invocation=_RESULTS, shows=stream(_RESULTS)),
    "explain": Verb(needs=(Need(_RESULTS, named("instance", "instance_id")),)),
    "describe_instances": Verb(needs=(_INSTANCES,), shows=page("ecs:DescribeInstances", _instance_of)),
    "describe_cloud_assistant_status": Verb(
        needs=(Need(_STATUS, named("instance", "instance_ids")),), shows=page(_STATUS, _instance_of)
    ),
    "preview_targets": Verb(shows=_preview),
    "dead_reports": Verb(needs=(Need("fleethand:DescribeDeadReports", always("report/*")),)),
    "drop_dead_reports": Verb(needs=(Need("fleethand:DropDeadReports", always("report/*")),), changes=True),
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
        if VERBS[name] != Verb():
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
        gate.demand(need.action, need.on(arguments))
    invoke_id = arguments.get("invoke_id")
    if verb.invocation and invoke_id:
        gate.demand_invocation(verb.invocation, invoke_id)


def _carried_out(gate: Gate, verb: Verb, arguments: Arguments, call: Callable[[], Any]) -> Any:
    """Carry out a call; one that changes something is told before it happens, and again if it was refused."""
    if not verb.changes:
        return call()
    need = verb.needs[0]
    names, detail = need.on(arguments), str(arguments.get("name") or "")
    gate.tell(need.action, "allowed", names, detail=detail)
    try:
        return call()
    except RequestError as error:
        gate.tell(need.action, "refused", names, detail=str(error.code))
        raise
