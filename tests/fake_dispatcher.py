"""A `Dispatcher` that answers what a test tells it, for tests of the command line."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from click.testing import CliRunner, Result

from fleethand_common.errors import RequestError
from fleethand_common.states import TERMINAL, InstanceStatus, aggregate
from fleethand_dispatcher.cli.app import root
from fleethand_dispatcher.cli.session import Session
from fleethand_dispatcher.models import (
    Command,
    DeadReport,
    Explanation,
    Instance,
    InvocationEvent,
    InvocationRecord,
    InvocationResult,
    ManagedInstance,
    Page,
    Rendering,
    Schedule,
    ScheduledRun,
    SecurityCount,
    Step,
    StopDisposition,
    TargetPreview,
    UpcomingRun,
)

AT = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
INVOKE_ID = "t-00000000000000000001"
COMMAND_ID = "c-00000000000000000001"


def result(instance_id: str, status: str = "Success", **fields: Any) -> InvocationResult:
    """Return a result of one instance."""
    is_over = InstanceStatus(status) in TERMINAL
    values: dict[str, Any] = {
        "exit_code": {"Success": 0, "Failed": 3}.get(status),
        "start_time": AT if is_over else None,
        "finished_time": AT if is_over else None,
        **fields,
    }
    return InvocationResult(
        invoke_id=INVOKE_ID,
        command_id=COMMAND_ID,
        instance_id=instance_id,
        invocation_status=InstanceStatus(status),
        creation_time=AT,
        update_time=AT,
        **values,
    )


def command(name: str, command_id: str = COMMAND_ID) -> Command:
    """Return a kept command."""
    return Command(
        command_id=command_id,
        name=name,
        type="RunShellScript",
        command_content="uptime",
        timeout_s=60,
        creation_time=AT,
    )


def instance(instance_id: str, **fields: Any) -> Instance:
    """Return a host."""
    values = {
        "instance_name": instance_id, "online": True, "tags": {"env": "prod"}, "last_seen_at": AT, "first_seen_at": AT,
        "os_type": "Linux", "os_version": "Debian 12", "worker_version": "0.1.0", "time_zone": "UTC", "boot_id": "b",
        "running": (), "queued": 0, "waiting": 0, "invocation_count": 0, "last_invoked_time": None, **fields,
    }  # fmt: skip
    return Instance(instance_id=instance_id, **values)


def _story(row: InvocationResult) -> Iterator[InvocationEvent]:
    known = {"invoke_id": INVOKE_ID, "instance_id": row.instance_id, "at": AT, "status": row.invocation_status}
    if row.output:
        yield InvocationEvent(kind="output", data=row.output, **known)
    yield InvocationEvent(kind="status", error_code=row.error_code, error_info=row.error_info, **known)


class FakeInvocation:
    """An invocation whose instances ended as the test said."""

    def __init__(self, fake: "FakeDispatcher") -> None:
        self._fake = fake
        self.invoke_id = INVOKE_ID
        self.command_id = COMMAND_ID
        self.retried: Sequence[str] | None = None

    def record(self) -> InvocationRecord:
        """Return the record that follows from the results."""
        statuses = [row.invocation_status for row in self._fake.rows]
        return InvocationRecord(
            invoke_id=INVOKE_ID, command_id=COMMAND_ID, command_name="", command_description="",
            command_type="RunShellScript", command_content="echo hi", enable_parameter=False, interpolation="text",
            parameters={}, repeat_mode="Once", timeout_s=60, working_dir="", username="",
            termination_mode="ProcessTree",
            creation_time=AT, deliver_before=AT, stop_time=None,
            finished_time=AT + timedelta(seconds=1.234) if set(statuses) <= TERMINAL else None,
            invocation_status=aggregate(statuses),
            counts={status: statuses.count(status) for status in dict.fromkeys(statuses)}, instance_count=len(statuses),
        )  # fmt: skip

    def _end(self) -> None:
        if self._fake.wait_ends_with is not None:
            raise self._fake.wait_ends_with

    def wait(self, timeout_s: float | None = None) -> InvocationRecord:
        """Return the record, or end as the test said."""
        self._fake.calls.append(("wait", {"timeout_s": timeout_s}))
        self._end()
        return self.record()

    def follow(self, timeout_s: float | None = None) -> Iterator[InvocationEvent]:
        """Yield the test's events."""
        self._fake.calls.append(("follow", {"timeout_s": timeout_s}))
        yield from self._fake.events
        self._end()
        for row in self._fake.rows:
            if not self._fake.events and row.invocation_status in TERMINAL:
                yield from _story(row)

    def results(self) -> Iterator[InvocationResult]:
        """Yield the results."""
        yield from self._fake.rows

    def retry(self, only: Sequence[str] = ("Failed",)) -> "FakeInvocation":
        """Remember what was asked for."""
        self._fake.calls.append(("retry", {"only": tuple(only)}))
        return self


class FakeDispatcher:
    """Remembers each call in `calls`; answers from its lists."""

    def __init__(self, rows: Sequence[InvocationResult] = (), events: Sequence[InvocationEvent] = ()) -> None:
        self.rows = list(rows)
        self.events = list(events)
        self.wait_ends_with: BaseException | None = None
        self.raises: Exception | None = None
        self.commands = [command("deploy")]
        self.instances = [instance("web-2", online=False), instance("web-1")]
        self.schedules: list[Schedule] = []
        self.modified: Any = None
        self.scheduled_runs: list[ScheduledRun] = []
        self.upcoming: list[UpcomingRun] = []
        self.managed = [
            ManagedInstance(instance_id="mi-1", instance_name="shop-001", connected=False, registration_time=AT)
        ]
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __enter__(self) -> "FakeDispatcher":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _called(self, verb: str, /, **arguments: Any) -> None:
        self.calls.append((verb, arguments))
        if self.raises is not None:
            raise self.raises

    def arguments(self, verb: str) -> dict[str, Any]:
        """Return the arguments of the last call of *verb*."""
        return next(arguments for name, arguments in reversed(self.calls) if name == verb)

    def run_command(self, **arguments: Any) -> FakeInvocation:
        self._called("run_command", **arguments)
        return FakeInvocation(self)

    def invoke_command(self, command_id: str, **arguments: Any) -> FakeInvocation:
        self._called("invoke_command", command_id=command_id, **arguments)
        return FakeInvocation(self)

    def resolve_invocation(self, text: str) -> str:
        self._called("resolve_invocation", text=text)
        if text != "last" and not INVOKE_ID.startswith(text):
            raise RequestError("InvalidInvokeId.NotFound", f"cannot find invocation {text!r}.")
        return INVOKE_ID

    def invocation(self, invoke_id: str) -> FakeInvocation:
        return FakeInvocation(self)

    def iter_results(self, invoke_id: str, *, statuses: Sequence[str] | None = None) -> Iterator[InvocationResult]:
        return (row for row in self.rows if not statuses or row.invocation_status in statuses)

    def describe_invocation_results(
        self,
        invoke_id: str,
        *,
        instance_id: str | None = None,
        invocation_status: str | None = None,
        max_results: int = 10,
    ) -> Page[InvocationResult]:
        wanted = (instance_id or None, invocation_status)
        return Page(
            items=[
                row
                for row in self.rows
                if wanted[0] in (None, row.instance_id) and wanted[1] in (None, row.invocation_status)
            ]
        )

    def stop_invocation(self, invoke_id: str, *, instance_ids: Sequence[str] = ()) -> dict[str, StopDisposition]:
        self._called("stop_invocation", invoke_id=invoke_id, instance_ids=tuple(instance_ids))
        return {row.instance_id: StopDisposition.STOPPING for row in self.rows}

    def describe_schedules(self, **arguments: Any) -> Page[Schedule]:
        self._called("describe_schedules", **arguments)
        return Page(items=self.schedules)

    def describe_schedule_runs(self, invoke_id: str, *, max_results: int = 50) -> list[ScheduledRun]:
        self._called("describe_schedule_runs", invoke_id=invoke_id, max_results=max_results)
        return self.scheduled_runs

    def preview_schedule(self, frequency: str = "", count: int = 5, **arguments: Any) -> list[UpcomingRun]:
        self._called("preview_schedule", frequency=frequency, count=count, **arguments)
        return self.upcoming

    def modify_invocation_attribute(self, invoke_id: str, **arguments: Any) -> str:
        self._called("modify_invocation_attribute", invoke_id=invoke_id, **arguments)
        self.schedules = [self.modified]
        return self.modified.command_id

    def pause_schedule(self, invoke_id: str) -> None:
        self._called("pause_schedule", invoke_id=invoke_id)

    def resume_schedule(self, invoke_id: str) -> None:
        self._called("resume_schedule", invoke_id=invoke_id)

    def describe_invocation(self, invoke_id: str) -> InvocationRecord:
        return FakeInvocation(self).record()

    def preview_targets(self, **arguments: Any) -> TargetPreview:
        self._called("preview_targets", **arguments)
        return TargetPreview(instance_ids=("web-1", "web-2"), online=1, offline=1, unknown=())

    def describe_commands(self, **arguments: Any) -> Page[Command]:
        self._called("describe_commands", **arguments)
        wanted = arguments.get("command_id")
        return Page(items=[row for row in self.commands if wanted in (None, row.command_id)])

    def create_command(self, **arguments: Any) -> Command:
        self._called("create_command", **arguments)
        return command(arguments["name"])

    def modify_command(self, command_id: str, **arguments: Any) -> Command:
        self._called("modify_command", command_id=command_id, **arguments)
        return command("deploy", command_id)

    def clone_command(self, command_id: str, **arguments: Any) -> Command:
        self._called("clone_command", command_id=command_id, **arguments)
        return command("copy", "c-00000000000000000002")

    def delete_command(self, command_id: str) -> None:
        self._called("delete_command", command_id=command_id)

    def describe_instances(self, **arguments: Any) -> Page[Instance]:
        self._called("describe_instances", **arguments)
        ids = arguments.get("instance_ids", ())
        return Page(items=[row for row in self.instances if not ids or row.instance_id in ids])

    def describe_managed_instances(self, **arguments: Any) -> Page[ManagedInstance]:
        self._called("describe_managed_instances", **arguments)
        return Page(items=[row for row in self.managed if row.instance_id in arguments["instance_ids"]])

    def describe_invocations(self, **arguments: Any) -> Page[InvocationRecord]:
        self._called("describe_invocations", **arguments)
        return Page(items=[FakeInvocation(self).record()])

    def render(self, **arguments: Any) -> Rendering:
        self._called("render", **arguments)
        return Rendering(content="echo hi", environment={"FLEETHAND_PARAM_WHO": "me"})

    def explain(self, invoke_id: str, instance_id: str) -> Explanation:
        steps = (Step(at=AT, what="created"), Step(at=AT, what="Success", detail="exit code 0"))
        return Explanation(result=self.rows[0], steps=steps)

    def dead_reports(self, *, max_results: int = 50) -> list[DeadReport]:
        return [DeadReport(at=AT, reason="not JSON", body="{")]

    def security_counts(self) -> list[SecurityCount]:
        return [
            SecurityCount(kind="heartbeat.ignored:Stale", times=2, last_at=AT),
            SecurityCount(kind="report.forged:DoesNotOpen", times=7, last_at=AT),
        ]

    def drop_dead_reports(self) -> int:
        self._called("drop_dead_reports")
        return 1


def output(instance_id: str, data: str) -> InvocationEvent:
    """Return an event that brings a piece of output."""
    return InvocationEvent(
        kind="output", invoke_id=INVOKE_ID, instance_id=instance_id, at=AT, status=InstanceStatus.RUNNING, data=data
    )


def status(instance_id: str, name: str) -> InvocationEvent:
    """Return an event that brings a new status."""
    return InvocationEvent(
        kind="status", invoke_id=INVOKE_ID, instance_id=instance_id, at=AT, status=InstanceStatus(name)
    )


def cli(fake: FakeDispatcher, *args: str, stdin: str | None = None, url: str = "redis://server") -> Result:
    """Run `fleethand` in this process against a fake."""
    factory: Callable[[Any], Any] = lambda settings: fake  # noqa: E731
    session = Session(environ={"FLEETHAND_REDIS_URL": url}, connect=factory)
    return CliRunner().invoke(root, list(args), obj=session, input=stdin, prog_name="fleethand")
