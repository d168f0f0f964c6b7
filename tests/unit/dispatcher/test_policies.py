"""What policies decide: the samples of the vendor's documentation, and the two laws that hold for all."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.errors import RequestError
from fleethand_dispatcher.policies import Policy, Resource, Rules, decide, parse
from fleethand_dispatcher.policy_documents import ADMINISTRATOR, BUILT_IN, FULL_ACCESS, READ_ONLY

ARN = "acs:ecs:local:0:"


def policy(*statements: Mapping[str, Any]) -> Policy:
    """Make a policy."""
    return Policy("p", parse({"Version": "1", "Statement": list(statements)}))


def allow(action: Any = "ecs:RunCommand", resource: Any = "*", **condition: Any) -> dict[str, Any]:
    """Make a statement that allows."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}


def deny(action: Any = "ecs:RunCommand", resource: Any = "*", **condition: Any) -> dict[str, Any]:
    """Make a statement that denies."""
    return {**allow(action, resource, **condition), "Effect": "Deny"}


AS_ROOT = {"context": {"ecs:CommandRunAs": "root"}}


def is_allowed(
    *statements: Mapping[str, Any], action: str = "ecs:RunCommand", on: str = "instance/web-1", **given: Any
) -> bool:
    """Decide about one action; *given* are the tags and the context."""
    resource = Resource(ARN + on, given.get("tags", {}))
    return decide([policy(*statements)], action, resource, given.get("context", {})).allowed


ONE_INSTANCE = "acs:ecs:*:*:instance/web-1"
ONLY_USERS = {"StringEquals": {"ecs:CommandRunAs": ["user01", "user02"]}}
NO_ADMINISTRATORS = {"StringNotEqualsIgnoreCase": {"ecs:CommandRunAs": ["system", "root"]}}
PRODUCTION = {"StringEquals": {"acs:ResourceTag/env": "prod"}}
IN_PRODUCTION_AS_USER = {**PRODUCTION["StringEquals"], **ONLY_USERS["StringEquals"]}
OFFICE = {"IpAddress": {"acs:SourceIp": ["10.0.0.0/8", "2001:db8::1"]}}


def one(*statements: Mapping[str, Any]) -> dict[str, Any]:
    """Make a document."""
    return {"Version": "1", "Statement": list(statements)}


def by(user: str) -> dict[str, str]:
    """Return the context of a command that runs as *user*."""
    return {"ecs:CommandRunAs": user}


@pytest.mark.parametrize(
    ("statements", "given", "expected"),
    [
        ([], {}, False),
        ([allow()], {}, True),
        ([deny()], {}, False),
        ([allow(), deny()], {}, False),
        ([deny(), allow()], {}, False),
        ([allow("*")], {}, True),
        ([allow("ecs:*Command")], {}, True),
        ([allow("ecs:runcommand")], {}, True),
        ([allow("ecs:Describe*")], {}, False),
        ([allow(["ecs:InvokeCommand", "ecs:RunCommand"])], {}, True),
        ([allow(resource=ONE_INSTANCE)], {}, True),
        ([allow(resource=ONE_INSTANCE)], {"on": "instance/web-10"}, False),
        ([allow(resource=ONE_INSTANCE)], {"on": "instance/WEB-1"}, False),
        ([allow(resource="acs:ecs:*:*:instance/web-*")], {"on": "instance/web-10"}, True),
        ([allow(resource="acs:ecs:*:*:instance/web-?")], {"on": "instance/web-10"}, False),
        ([allow(resource="acs:ecs:*:*:instance/[w]eb-1")], {}, False),
        ([allow(resource="acs:ecs:eu:*:instance/web-1")], {}, False),
        ([allow(resource="acs:ecs:*:*:command/*")], {}, False),
        ([allow(), deny(resource=ONE_INSTANCE)], {"on": "instance/web-2"}, True),
        ([allow(**ONLY_USERS)], {"context": by("user02")}, True),
        ([allow(**ONLY_USERS)], {"context": by("root")}, False),
        ([allow(**ONLY_USERS)], {"context": by("USER01")}, False),
        ([allow(**ONLY_USERS)], {}, False),
        ([allow(**NO_ADMINISTRATORS)], {"context": by("user01")}, True),
        ([allow(**NO_ADMINISTRATORS)], {"context": by("Root")}, False),
        ([allow(**NO_ADMINISTRATORS)], {"context": by("SYSTEM")}, False),
        ([allow(), deny(StringEqualsIgnoreCase={"ecs:CommandRunAs": "root"})], {"context": by("ROOT")}, False),
        ([allow(), deny(StringNotEquals={"ecs:CommandRunAs": "www"})], {"context": by("root")}, False),
        ([allow(), deny(StringNotEquals={"ecs:CommandRunAs": "www"})], {"context": by("www")}, True),
        ([allow(StringLike={"ecs:CommandRunAs": "svc-*"})], {"context": by("svc-web")}, True),
        ([allow(StringLike={"ecs:CommandRunAs": "svc-*"})], {"context": by("root")}, False),
        ([allow(**PRODUCTION)], {"tags": {"env": "prod"}}, True),
        ([allow(**PRODUCTION)], {"tags": {"env": "dev"}}, False),
        ([allow(**PRODUCTION)], {}, False),
        ([allow(), deny(**PRODUCTION)], {"tags": {"env": "prod"}}, False),
        ([allow(), deny(**PRODUCTION)], {"tags": {}}, True),
        ([allow(StringNotEquals={"acs:ResourceTag/env": "prod"})], {"tags": {}}, True),
        ([allow(StringEquals=IN_PRODUCTION_AS_USER)], {"tags": {"env": "prod"}, **AS_ROOT}, False),
        ([allow(**OFFICE)], {"context": {"acs:SourceIp": "10.1.2.3"}}, True),
        ([allow(**OFFICE)], {"context": {"acs:SourceIp": "2001:db8::1"}}, True),
        ([allow(**OFFICE)], {"context": {"acs:SourceIp": "192.0.2.1"}}, False),
        ([allow(**OFFICE)], {}, False),
        ([allow(), deny(NotIpAddress={"acs:SourceIp": "10.0.0.0/8"})], {}, False),
    ],
)  # fmt: skip
def test_decision_is_the_one_that_the_documents_say(
    statements: list[Mapping[str, Any]], given: Mapping[str, Any], expected: bool
) -> None:
    """Deny wins, what nothing allows is denied, values are alternatives, conditions must all hold."""
    assert is_allowed(*statements, **given) is expected


def test_decision_names_the_statement_that_decided() -> None:
    """A person can look it up: the policy, its number, and what it does."""
    decision = decide([policy(allow(), deny())], "ecs:RunCommand", Resource(ARN + "instance/web-1"), {})

    assert (decision.policy, decision.statement) == ("p", 2)
    assert decision.reason == "statement 2 of the policy p denies it"


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ("{", "It is no JSON"),
        ({"Statement": []}, "Cannot use Version"),
        ({"Version": "2", "Statement": []}, "Cannot use Version"),
        (one(allow(), {"Effect": "Allow", "Action": "*"}), "Cannot use Statement[1].Resource"),
        (one({**allow(), "Effect": "allow"}), "Cannot use Statement[0].Effect"),
        (one(allow("RunCommand")), "write ecs:RunCommand"),
        (one(allow(resource="instance/web-1")), "write acs:ecs:*:*:instance/web-1"),
        (one(allow(resource=[])), "it is empty"),
        (one({**allow(), "NotAction": "x"}), "Cannot use Statement[0].NotAction"),
        (one(allow(Equals={"ecs:CommandRunAs": "x"})), "there is no operator 'Equals'"),
        (one(allow(StringEquals={"ecs:Moon": "x"})), "no condition key 'ecs:Moon'"),
        (one(allow(StringEquals={"acs:ResourceTag/": "x"})), "no condition key"),
        (one(allow(StringEquals={"ecs:CommandRunAs": []})), "names no value"),
        (one(allow(StringEquals={"acs:SourceIp": "10.0.0.1"})), "does not judge acs:SourceIp"),
        (one(allow(IpAddress={"acs:SourceIp": "10.0.0"})), "Cannot use Statement[0].Condition"),
        (one(allow("ecs:" + "x" * 7000)), "6144 are allowed"),
    ],
)  # fmt: skip
def test_document_that_is_wrong_is_refused_with_the_place(document: Any, place: str) -> None:
    """A policy that nobody understands must not be kept."""
    with pytest.raises(RequestError) as refused:
        parse(document)

    assert refused.value.code == "InvalidParameter.PolicyDocument"
    assert place in str(refused.value)


@pytest.mark.parametrize(
    ("name", "action", "on", "expected"),
    [
        (FULL_ACCESS, "ecs:RunCommand", "instance/web-1", True),
        (FULL_ACCESS, "ecs:DeleteCommand", "command/c-1", True),
        (FULL_ACCESS, "ecs:StopInvocation", "instance/web-1", True),
        (FULL_ACCESS, "ecs:CreateActivation", "activation/*", True),
        (FULL_ACCESS, "fleethand:CreatePrincipal", "principal/eve", False),
        (FULL_ACCESS, "fleethand:Unfreeze", "fleet/all", False),
        (READ_ONLY, "ecs:DescribeInvocationResults", "instance/web-1", True),
        (READ_ONLY, "ecs:DescribeCommands", "command/c-1", True),
        (READ_ONLY, "ecs:RunCommand", "instance/web-1", False),
        (READ_ONLY, "ecs:StopInvocation", "instance/web-1", False),
        (READ_ONLY, "fleethand:DescribeAuditLog", "audit/log", False),
        (ADMINISTRATOR, "fleethand:CreatePrincipal", "principal/eve", True),
    ],
)
def test_built_in_policy_allows_what_it_is_for(name: str, action: str, on: str, expected: bool) -> None:
    """Neither of the first two leads to more rights."""
    assert decide([BUILT_IN[name]], action, Resource(ARN + on), {}).allowed is expected


def test_ten_thousand_targets_are_judged_in_thirty_milliseconds() -> None:
    """The best of three, of this process alone: patterns are compiled and equal tags judged once."""
    rules = Rules(
        [
            policy(
                allow(resource=["acs:ecs:*:*:instance/web-*", "acs:ecs:*:*:instance/db-*"], **PRODUCTION),
                deny(resource="acs:ecs:*:*:instance/*-secret", **NO_ADMINISTRATORS),
                deny(StringEquals={"acs:ResourceTag/owner": "someone"}),
            )
        ]
    )
    targets = [Resource(f"{ARN}instance/web-{number}", {"env": "prod", "owner": "ops"}) for number in range(10_000)]

    took_s: list[float] = []
    for _ in range(3):
        began = time.process_time()
        decisions = rules.decide_all("ecs:RunCommand", targets, by("root"))
        took_s.append(time.process_time() - began)

    assert all(decision.allowed for decision in decisions)
    assert min(took_s) < 0.03


statements_strategy = st.lists(
    st.fixed_dictionaries(
        {
            "Effect": st.sampled_from(["Allow", "Deny"]),
            "Action": st.sampled_from(["*", "ecs:*", "ecs:RunCommand", "ecs:Describe*"]),
            "Resource": st.sampled_from(["*", "acs:ecs:*:*:instance/*", ONE_INSTANCE, "acs:ecs:*:*:command/*"]),
            "Condition": st.sampled_from([{}, ONLY_USERS, NO_ADMINISTRATORS, PRODUCTION, OFFICE]),
        }
    ),
    max_size=5,
)
cases = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["ecs:RunCommand", "ecs:DescribeCommands"]),
        "on": st.sampled_from(["instance/web-1", "instance/web-2", "command/c-1"]),
        "tags": st.sampled_from([{}, {"env": "prod"}, {"env": "dev"}]),
        "context": st.sampled_from([{}, by("root"), by("user01"), {**by("user01"), "acs:SourceIp": "10.0.0.1"}]),
    }
)


@given(statements_strategy, statements_strategy, cases)
def test_more_denies_never_allow_more_and_more_allows_never_deny_more(
    statements: list[dict[str, Any]], more: list[dict[str, Any]], case: dict[str, Any]
) -> None:
    """Whoever adds a deny can only take away, whoever adds an allow can only give, in whatever place."""
    before = is_allowed(*statements, **case)
    denies = [{**statement, "Effect": "Deny"} for statement in more]
    allows = [{**statement, "Effect": "Allow"} for statement in more]

    assert is_allowed(*denies, *statements, **case) <= before
    assert is_allowed(*statements, *denies, **case) <= before
    assert is_allowed(*allows, *statements, **case) >= before
    assert is_allowed(*statements, *allows, **case) >= before
