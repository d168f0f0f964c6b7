"""Policies count at every verb: before anything is recorded, with one word in the audit log."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from fleethand_common.errors import RequestError
from fleethand_dispatcher import keys
from fleethand_dispatcher.audit_checking import check
from fleethand_dispatcher.authorization import OPEN, VERBS
from fleethand_dispatcher.dispatcher import Dispatcher

Principal = Callable[..., Dispatcher]


def statement(action: Any, resource: Any = "*", effect: str = "Allow", **condition: Any) -> dict[str, Any]:
    """Make a statement."""
    return {"Effect": effect, "Action": action, "Resource": resource, "Condition": condition}


def on(*names: str) -> list[str]:
    """Return resources such as `instance/web-1` as policies name them."""
    return [f"acs:ecs:*:*:{name}" for name in names]


@pytest.fixture
def principal(plane) -> Principal:
    """Make a principal with the statements that are given, and return the dispatcher as it sees it."""

    def make(*statements: dict[str, Any], name: str = "ops", source_ip: str = "") -> Dispatcher:
        operator = plane.dispatcher
        operator.create_policy(f"{name}-policy", {"Version": "1", "Statement": list(statements)})
        key = operator.create_principal(name, policies=[f"{name}-policy"])
        return operator.as_principal(key.api_key, source_ip=source_ip)

    return make


def refused(call: Callable[[], Any]) -> RequestError:
    """Return what a call is refused with; it must be for want of a permission."""
    with pytest.raises(RequestError) as caught:
        call()
    assert (caught.value.code, caught.value.http_status) == ("Forbidden.RAM", 403)
    return caught.value


def newest(dispatcher: Dispatcher) -> Any:
    """Return the newest entry of the audit log."""
    return next(iter(dispatcher.iter_audit_log(last=1)))


def test_run_is_refused_as_a_whole_for_one_instance_that_is_not_allowed(
    plane, host, principal: Principal, redis_client: "redis.Redis"
) -> None:
    """It names the instance, the action and the way out; nothing is recorded but the denial."""
    for name in ("web-1", "web-2", "db-1"):
        host(name)
    ops = principal(statement("ecs:RunCommand", on("instance/web-*")))
    before = set(redis_client.keys())

    error = refused(lambda: ops.run_command(command_content="id", all_instances=True))

    assert "ops may not ecs:RunCommand on instance/db-1" in str(error)
    assert "fleethand policy simulate --principal ops" in str(error)
    assert set(redis_client.keys()) == before
    entry = newest(plane.dispatcher)
    assert (entry.actor, entry.action, entry.outcome) == ("ops", "ecs:RunCommand", "denied")
    assert (entry.targets, entry.detail) == (("instance/db-1",), "no statement allows it")


def test_run_that_is_allowed_is_in_the_audit_log_with_its_digest_and_never_its_content(
    plane, host, principal: Principal
) -> None:
    """Equal content has equal digests; neither the content nor a value can be read there."""
    host("web-1")
    ops = principal(statement("ecs:RunCommand"), source_ip="10.0.0.7")
    call = {"command_content": "echo {{x}} hunter2", "enable_parameter": True, "instance_ids": ["web-1"]}

    invocation = ops.run_command(**call, parameters={"x": "s3cret"})
    first = newest(plane.dispatcher)
    plane.dispatcher.run_command(**call, parameters={"x": "s3cret"})
    second = newest(plane.dispatcher)

    assert (first.actor, first.action, first.outcome) == ("ops", "ecs:RunCommand", "allowed")
    assert (first.invoke_id, first.source, first.targets) == (invocation.invoke_id, "10.0.0.7", ("instance/web-1",))
    assert (second.actor, second.digest) == ("operator", first.digest)
    assert first.digest
    log = b"".join(stored.body for stored in plane.store.audit.records.read(1))
    assert b"hunter2" not in log
    assert b"s3cret" not in log


def test_user_that_a_command_runs_as_is_judged(host, principal: Principal) -> None:
    """Where none is named it is root for Shell and system for the others (spec 14.2)."""
    host("web-1")
    ops = principal(
        statement("ecs:RunCommand", StringNotEqualsIgnoreCase={"ecs:CommandRunAs": ["system", "root"]}),
    )
    run = {"command_content": "id", "instance_ids": ["web-1"], "dry_run": True}

    ops.run_command(**run, username="www")
    assert "as the user root" in str(refused(lambda: ops.run_command(**run)))
    assert "as the user system" in str(refused(lambda: ops.run_command(**run, type="RunPowerShellScript")))
    refused(lambda: ops.run_command(**run, username="ROOT"))


def test_invoke_needs_the_command_and_the_instances(plane, host, principal: Principal) -> None:
    """Either alone is not enough (spec 14.1)."""
    host("web-1")
    mine = plane.dispatcher.create_command(name="mine", command_content="id").command_id
    other = plane.dispatcher.create_command(name="other", command_content="id").command_id
    ops = principal(statement("ecs:InvokeCommand", on(f"command/{mine}", "instance/web-1")))

    ops.invoke_command(mine, instance_ids=["web-1"])
    assert f"command/{other}" in str(refused(lambda: ops.invoke_command(other, instance_ids=["web-1"])))
    assert "instance/db-1" in str(refused(lambda: ops.invoke_command(mine, instance_ids=["db-1"])))


def test_tags_that_count_are_those_of_the_enrolment(plane, host, principal: Principal) -> None:
    """A host that calls itself something else gets no more commands by that."""
    made = host("web-1")
    plane.dispatcher.provision_instance("web-2", tags={"env": "prod"})
    made.beat(tags={"env": "prod"})
    plane.settle()
    ops = principal(statement("ecs:RunCommand", StringEquals={"acs:ResourceTag/env": "prod"}))

    ops.run_command(command_content="id", instance_ids=["web-2"])
    refused(lambda: ops.run_command(command_content="id", instance_ids=["web-1"]))


def test_stop_needs_every_instance_that_it_would_stop(plane, host, principal: Principal) -> None:
    """Of a whole invocation, or of the instances that are named."""
    host("web-1")
    host("db-1")
    invocation = plane.dispatcher.run_command(command_content="id", all_instances=True)
    ops = principal(statement("ecs:StopInvocation", on("instance/web-*")))

    assert "instance/db-1" in str(refused(lambda: ops.stop_invocation(invocation.invoke_id)))
    assert set(ops.stop_invocation(invocation.invoke_id, instance_ids=["web-1"])) == {"web-1"}


def test_reads_leave_out_what_is_not_allowed_and_refuse_what_is_named(plane, host, principal: Principal) -> None:
    """Results, hosts and events of forbidden instances are not there; a filter that names one is refused."""
    for name in ("web-1", "db-1"):
        host(name)
    invocation = plane.dispatcher.run_command(command_content="id", all_instances=True)
    hidden = plane.dispatcher.run_command(command_content="id", instance_ids=["db-1"])
    ops = principal(statement("ecs:Describe*", on("instance/web-*")))

    assert [item.instance_id for item in ops.describe_instances().items] == ["web-1"]
    assert [item.instance_id for item in ops.describe_cloud_assistant_status().items] == ["web-1"]
    assert [item.instance_id for item in ops.describe_invocation_results(invocation.invoke_id).items] == ["web-1"]
    assert [item.instance_id for item in ops.iter_results(invocation.invoke_id)] == ["web-1"]
    assert [item.invoke_id for item in ops.describe_invocations().items] == [invocation.invoke_id]
    refused(lambda: ops.describe_instances(instance_ids=["db-1"]))
    refused(lambda: ops.describe_invocation_results(invocation.invoke_id, instance_id="db-1"))
    refused(lambda: ops.describe_invocation(hidden.invoke_id))
    refused(lambda: ops.wait(hidden.invoke_id, 0))
    refused(lambda: list(ops.follow(hidden.invoke_id, 0)))
    refused(lambda: ops.explain(invocation.invoke_id, "db-1"))
    refused(lambda: ops.resolve_invocation("last"))


def test_commands_that_are_not_allowed_are_not_shown(plane, principal: Principal) -> None:
    """Neither in a list, nor by a copy."""
    shown = plane.dispatcher.create_command(name="shown", command_content="id").command_id
    hidden = plane.dispatcher.create_command(name="hidden", command_content="id").command_id
    ops = principal(statement("ecs:DescribeCommands", on(f"command/{shown}")), statement("ecs:CreateCommand"))

    assert [command.command_id for command in ops.describe_commands().items] == [shown]
    refused(lambda: ops.describe_commands(command_id=hidden))
    refused(lambda: ops.clone_command(hidden))


EXAMPLES: dict[str, dict[str, Any]] = {
    "create_command": {"name": "x", "command_content": "id"},
    "modify_command": {"command_id": "c-1", "name": "x"},
    "clone_command": {"command_id": "c-1"},
    "delete_command": {"command_id": "c-1"},
    "describe_commands": {"command_id": "c-1"},
    "render": {"instance_id": "web-1", "command_content": "id"},
    "run_command": {"command_content": "id", "instance_ids": ["web-1"]},
    "invoke_command": {"command_id": "@command", "instance_ids": ["web-1"]},
    "retry_invocation": {"invoke_id": "@invocation"},
    "stop_invocation": {"invoke_id": "@invocation"},
    "describe_schedules": {"invoke_id": "@schedule"},
    "describe_schedule_runs": {"invoke_id": "@schedule"},
    "preview_schedule": {"frequency": "rate(5m)"},
    "pause_schedule": {"invoke_id": "@schedule"},
    "resume_schedule": {"invoke_id": "@schedule"},
    "modify_invocation_attribute": {"invoke_id": "@schedule", "frequency": "rate(5m)"},
    "describe_invocations": {"instance_id": "web-1"},
    "describe_invocation": {"invoke_id": "@invocation"},
    "invocation_status": {"invoke_id": "@invocation"},
    "invocation": {"invoke_id": "@invocation"},
    "wait": {"invoke_id": "@invocation"},
    "resolve_invocation": {"text": "last"},
    "describe_invocation_results": {"invoke_id": "@invocation"},
    "iter_results": {"invoke_id": "@invocation"},
    "follow": {"invoke_id": "@invocation"},
    "explain": {"invoke_id": "@invocation", "instance_id": "web-1"},
    "describe_instances": {"instance_ids": ["web-1"]},
    "describe_cloud_assistant_status": {"instance_ids": ["web-1"]},
    "preview_targets": {"instance_ids": ["web-1"]},
    "describe_managed_instances": {"instance_ids": ["web-1"]},
    "modify_managed_instance": {"instance_id": "web-1", "instance_name": "x"},
    "deregister_managed_instance": {"instance_id": "web-1"},
    "provision_instance": {"instance_id": "web-9"},
    "create_activation": {},
    "describe_activations": {"activation_id": "a-1"},
    "disable_activation": {"activation_id": "a-1"},
    "delete_activation": {"activation_id": "a-1"},
    "create_principal": {"name": "eve"},
    "describe_principals": {},
    "disable_principal": {"name": "ops"},
    "enable_principal": {"name": "ops"},
    "delete_principal": {"name": "ops"},
    "rotate_principal_key": {"name": "ops"},
    "create_policy": {"name": "p", "document": {"Version": "1", "Statement": []}},
    "delete_policy": {"name": "ops-policy"},
    "describe_policies": {},
    "attach_policy": {"principal": "ops", "policies": ["FleethandAdministrator"]},
    "detach_policy": {"principal": "ops", "policies": ["ops-policy"]},
    "simulate_policy": {"principal": "ops", "action": "ecs:RunCommand", "resources": ["instance/web-1"]},
    "iter_audit_log": {},
    "verify_audit_log": {},
    "freeze": {},
    "unfreeze": {},
    "freeze_status": {},
    "describe_signing_keys": {},
    "rotate_signing_key": {"name": "second"},
    "revoke_signing_key": {"name": "first"},
    "verify_invocation": {"invoke_id": "@invocation"},
    "security_counts": {},
    "dead_reports": {},
    "drop_dead_reports": {},
}
"""A call of each verb that needs something: `@command`, `@invocation` and `@schedule` are such as exist."""


@pytest.mark.parametrize(
    "name", sorted(name for name, verb in VERBS.items() if verb is not OPEN and name != "server_time")
)
def test_verb_is_refused_to_whoever_may_do_nothing_and_that_is_told(
    plane, host, principal: Principal, name: str
) -> None:
    """No verb was forgotten; each denial is in the audit log, and the log is whole."""
    host("web-1")
    command = plane.dispatcher.create_command(name="x", command_content="id").command_id
    invocation = plane.dispatcher.run_command(command_content="id", instance_ids=["web-1"])
    schedule = plane.dispatcher.run_command(command_content="id", instance_ids=["web-1"], frequency="rate(1h)")
    nobody = principal(statement("ecs:DescribeTags"))
    stand_ins = {"@command": command, "@invocation": invocation.invoke_id, "@schedule": schedule.invoke_id}
    arguments = {key: stand_ins.get(str(value), value) for key, value in EXAMPLES[name].items()}
    if name == "retry_invocation":
        arguments["only"] = ["Pending"]

    error = refused(lambda: list(getattr(nobody, name)(**arguments) or ()))

    entry = newest(plane.dispatcher)
    assert (entry.actor, entry.outcome) == ("ops", "denied")
    assert entry.action in str(error)
    assert check(plane.store.audit).ok


def test_key_that_is_nobodys_is_refused_alike(plane, principal: Principal) -> None:
    """A caller does not learn whether the name, the key or the secret was wrong."""
    key = plane.dispatcher.create_principal("ops").api_key
    wrong = [key[:-1] + ("0" if key[-1] != "0" else "1"), key.replace("-ops-", "-eve-"), "fh-x", "nonsense"]

    for each in wrong:
        with pytest.raises(RequestError) as caught:
            plane.dispatcher.as_principal(each).server_time()
        assert caught.value.code == "InvalidAccessKeyId.NotFound"
        assert key not in str(caught.value)
    plane.dispatcher.as_principal(key).server_time()


def test_disabled_deleted_and_rotated_keys_end_where_they_are_in_use(plane) -> None:
    """A dispatcher that knows the key already asks again when a principal has changed."""
    operator = plane.dispatcher
    old = operator.create_principal("ops", policies=["FleethandReadOnly"]).api_key
    using = operator.as_principal(old)
    using.describe_instances()

    operator.disable_principal("ops")
    with pytest.raises(RequestError, match="disabled"):
        using.describe_instances()
    operator.enable_principal("ops")
    using.describe_instances()
    new = operator.rotate_principal_key("ops").api_key
    with pytest.raises(RequestError, match="not found"):
        using.describe_instances()
    operator.as_principal(new).describe_instances()
    operator.delete_principal("ops")
    with pytest.raises(RequestError, match="not found"):
        operator.as_principal(new).describe_instances()


def test_old_key_is_good_for_its_overlap(plane) -> None:
    """So that a program can be given the new one without a gap."""
    operator = plane.dispatcher
    old = operator.create_principal("ops", policies=["FleethandReadOnly"]).api_key
    new = operator.rotate_principal_key("ops", overlap_s=60).api_key

    operator.as_principal(old).describe_instances()
    operator.as_principal(new).describe_instances()


def test_detached_policy_ends_at_the_next_call(plane) -> None:
    """Rights are looked up at every call; one small read."""
    operator = plane.dispatcher
    using = operator.as_principal(operator.create_principal("ops", policies=["FleethandReadOnly"]).api_key)
    using.describe_instances()
    assert using.describe_instances().items == []

    operator.detach_policy("ops", ["FleethandReadOnly"])

    refused(lambda: using.describe_instances(instance_ids=["web-1"]))


def test_whoever_writes_to_redis_gives_nobody_rights(plane, principal: Principal) -> None:
    """Principals and policies are sealed under their names: another's record in their place is none."""
    operator, client = plane.dispatcher, plane.store.client
    admin = operator.create_principal("boss", policies=["FleethandAdministrator"])
    ops = principal(statement("ecs:DescribeInstances"))
    boss_record = client.hget(keys.PRINCIPALS, "boss")
    assert boss_record is not None

    client.hset(keys.PRINCIPALS, "ops", boss_record)
    client.incr(keys.PRINCIPALS_VERSION)

    with pytest.raises(RequestError, match="not found"):
        ops.describe_principals()
    assert admin.api_key.encode() not in b"".join(client.hgetall(keys.PRINCIPALS).values())


def test_lost_policy_denies_everything(plane, host, principal: Principal, redis_client: "redis.Redis") -> None:
    """Nobody knows what it denied, so its principal may do nothing until it is detached."""
    host("web-1")
    ops = principal(statement("*"), statement("ecs:RunCommand", effect="Deny"))
    ops.describe_instances()

    redis_client.hdel(keys.POLICIES, "ops-policy")
    redis_client.incr(keys.PRINCIPALS_VERSION)

    with pytest.raises(RequestError, match="cannot be read"):
        ops.run_command(command_content="id", instance_ids=["web-1"])


def test_operator_needs_a_key_where_the_setting_says_so(make_plane) -> None:
    """The holder of the keyring is then asked who it is, too."""
    plane = make_plane(require_principal=True)

    with pytest.raises(RequestError, match="FLEETHAND_API_KEY"):
        plane.dispatcher.describe_instances()


def test_client_token_of_another_is_not_answered(plane, host, principal: Principal) -> None:
    """Who repeats somebody else's call with its token is refused, not told its invocation."""
    host("web-1")
    ops = principal(statement("ecs:RunCommand"))
    call: dict[str, Any] = {"command_content": "id", "instance_ids": ["web-1"], "client_token": "t"}
    plane.dispatcher.run_command(**call)

    with pytest.raises(RequestError) as caught:
        ops.run_command(**call)

    assert caught.value.code == "IdempotentParameterMismatch"


def test_simulation_says_what_a_call_would_meet(plane, principal: Principal) -> None:
    """The decision, and the statement that made it."""
    principal(
        statement("ecs:RunCommand", on("instance/web-*")),
        statement("ecs:RunCommand", effect="Deny", StringEquals={"ecs:CommandRunAs": "root"}),
    )

    found = [
        plane.dispatcher.simulate_policy("ops", "ecs:RunCommand", ["instance/web-1"], run_as=user)[0]
        for user in ("www", "root")
    ]

    assert [(each.allowed, each.statement) for each in found] == [(True, 1), (False, 2)]
    assert found[0].resource == "acs:ecs:local:0:instance/web-1"
