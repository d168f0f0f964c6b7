"""Policies: documents as RAM has them, and what they decide. Pure: no records, no clock, no requests.

A deny wins over every allow, and what nothing allows is denied (spec 14). `docs/reference/policies.md` is the grammar.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.policy_conditions import OPERATORS, TAG_PREFIX, Values, check_key, pattern

DOCUMENT_CHARS = 6144
"""The longest document, as RAM has it."""


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Statement(_Part):
    """One rule: whether what fits all three, an action, a resource and every condition, is allowed or denied."""

    Effect: Literal["Allow", "Deny"]
    Action: Texts
    Resource: Texts
    Condition: Mapping[str, Mapping[str, Texts]] = {}

    @field_validator("Action", "Resource")
    @classmethod
    def _names_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(value):
            raise ValueError("it is empty")
        return value

    @field_validator("Action")
    @classmethod
    def _has_a_product(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for action in value:
            if action != "*" and ":" not in action:
                raise ValueError(f"{action!r} names no product: write ecs:{action} or *")
        return value

    @field_validator("Resource")
    @classmethod
    def _is_an_arn(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for resource in value:
            if resource != "*" and resource.count(":") < _ARN_COLONS:
                raise ValueError(f"{resource!r} is none: write acs:ecs:*:*:instance/web-1, or *")
        return value

    @field_validator("Condition")
    @classmethod
    def _can_be_judged(cls, value: Mapping[str, Mapping[str, Texts]]) -> Mapping[str, Mapping[str, Texts]]:
        for operator, keys in value.items():
            if operator not in OPERATORS:
                raise ValueError(f"there is no operator {operator!r}; there are {', '.join(OPERATORS)}")
            for key, values in keys.items():
                check_key(operator, key, values)
        return value


class PolicyDocument(_Part):
    """What a policy says."""

    Version: Literal["1"]
    Statement: tuple[Statement, ...]

    @field_validator("Statement", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, dict) else value


_ARN_COLONS = 4


class Policy(NamedTuple):
    """A document under its name."""

    name: str
    document: PolicyDocument


class Resource(NamedTuple):
    """What an action is done to; *tags* are those that the control plane gave it."""

    arn: str
    tags: Mapping[str, str] = {}


class Decision(NamedTuple):
    """Whether an action is allowed, and the statement that decided: its policy and its number, from 1."""

    allowed: bool
    policy: str = ""
    statement: int = 0
    reason: str = ""


def parse(source: str | Mapping[str, Any]) -> PolicyDocument:
    """Read a document, as JSON or as what JSON stands for.

    Raises:
        RequestError: with the place in the document where it is wrong.
    """
    text = source if isinstance(source, str) else json.dumps(source)
    if len(text) > DOCUMENT_CHARS:
        bound = f"It has {len(text)} characters; {DOCUMENT_CHARS} are allowed."
        raise refusal("InvalidParameter.PolicyDocument", bound)
    try:
        return PolicyDocument.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise refusal("InvalidParameter.PolicyDocument", f"It is no JSON: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        message = first["msg"].removeprefix("Value error, ")
        raise refusal("InvalidParameter.PolicyDocument", f"Cannot use {place or 'it'}: {message}.") from None


class Rules:
    """Several policies, made ready to judge many resources."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._rules = [
            _Rule(policy.name, number, statement)
            for policy in policies
            for number, statement in enumerate(policy.document.Statement, start=1)
        ]
        self.uses_tags = any(rule.tag_conditions for rule in self._rules)
        """Whether a decision needs the tags of its resource."""

    def decide_all(self, action: str, resources: Sequence[Resource], context: Values) -> list[Decision]:
        """Return the decision on each resource; what they have in common is judged once."""
        fitting = [rule for rule in self._rules if rule.fits(action, context)]
        ordered = sorted(fitting, key=lambda rule: rule.effect != "Deny")  # a deny wins: it is asked first
        return [_decide(ordered, resource) for resource in resources]

    def decide(self, action: str, resource: Resource, context: Values) -> Decision:
        """Return the decision on one resource."""
        return self.decide_all(action, [resource], context)[0]


def decide(policies: Sequence[Policy], action: str, resource: Resource, context: Values) -> Decision:
    """Return what *policies* decide about one action on one resource.

    Args:
        context: condition keys with their values; one that is absent has none.
    """
    return Rules(policies).decide(action, resource, context)


def _decide(rules: "Sequence[_Rule]", resource: Resource) -> Decision:
    for rule in rules:
        if rule.covers(resource):
            return rule.decision
    return _NOTHING_ALLOWS


_NOTHING_ALLOWS = Decision(allowed=False, reason="no statement allows it")


class _Rule:
    """A statement made ready: patterns compiled, conditions on tags apart from those on the call."""

    def __init__(self, policy: str, number: int, statement: Statement) -> None:
        self.effect = statement.Effect
        self.decision = Decision(
            allowed=statement.Effect == "Allow",
            policy=policy,
            statement=number,
            reason=f"statement {number} of the policy {policy} {'allows' if self.effect == 'Allow' else 'denies'} it",
        )
        self._actions = pattern(statement.Action, ignore_case=True)
        self._resources = pattern(statement.Resource)
        conditions = [
            (OPERATORS[operator], key, values)
            for operator, keys in statement.Condition.items()
            for key, values in keys.items()
        ]
        self.tag_conditions = [
            (holds, key.removeprefix(TAG_PREFIX), values)
            for holds, key, values in conditions
            if key.startswith(TAG_PREFIX)
        ]
        self._call_conditions = [condition for condition in conditions if not condition[1].startswith(TAG_PREFIX)]
        self._judged: dict[tuple[str | None, ...], bool] = {}

    def fits(self, action: str, context: Values) -> bool:
        """Tell whether the action and the conditions on the call fit."""
        if not self._actions(action):
            return False
        return all(holds(context.get(key), values) for holds, key, values in self._call_conditions)

    def covers(self, resource: Resource) -> bool:
        """Tell whether the resource and the conditions on its tags fit."""
        if not self._resources(resource.arn):
            return False
        if not self.tag_conditions:
            return True
        facts = tuple(resource.tags.get(key) for _, key, _ in self.tag_conditions)
        if facts not in self._judged:
            if len(self._judged) > _JUDGED_MAX:
                self._judged.clear()
            self._judged[facts] = all(
                holds(fact, values) for fact, (holds, _, values) in zip(facts, self.tag_conditions, strict=True)
            )
        return self._judged[facts]


_JUDGED_MAX = 10_000
