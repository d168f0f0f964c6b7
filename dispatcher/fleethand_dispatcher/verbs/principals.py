"""Verbs about principals and their policies."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from fleethand_common import clock
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.gate import Gate
from fleethand_dispatcher.policies import Resource, Rules
from fleethand_dispatcher.policy_conditions import RUN_AS, SESSION_AS, SOURCE_IP
from fleethand_dispatcher.policy_documents import BUILT_IN
from fleethand_dispatcher.principal_records import PrincipalRecord
from fleethand_dispatcher.principals import NewKey, Principals
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.trust_models import NewApiKey, PolicyRecord, Principal, Simulation


class PrincipalVerbs:
    """Who may use an API key, and what for."""

    _store: Store
    _settings: Settings
    _directives: Directives
    _gate: Gate
    _principals: Principals

    def as_principal(self, api_key: str, *, source_ip: str = "") -> Self:
        """Return this dispatcher as the principal of an API key sees it; it shares the connections.

        Args:
            source_ip: where the call came from, for the condition `acs:SourceIp` and the audit log.
        """
        other = copy.copy(self)
        other._gate = Gate(self._store, self._settings, self._directives, api_key=api_key, source_ip=source_ip)
        return other

    @guarded
    def create_principal(
        self, name: str, *, kind: Literal["user", "program"] = "user", policies: Sequence[str] = ()
    ) -> NewApiKey:
        """Make a principal and its API key, which is in this answer and nowhere else."""
        now_ms = self._store.now_ms()
        return _shown_key(self._principals.create(name, kind=kind, policies=policies, now_ms=now_ms))

    @guarded
    def describe_principals(self, name: str | None = None) -> list[Principal]:
        """List principals, or the one called *name*; never their keys."""
        found = self._principals.all() if name is None else [self._principals.get(name)]
        return [_shown(record) for record in found]

    @guarded
    def disable_principal(self, name: str) -> Principal:
        """Let a principal's keys count for nothing; from now on, also where they are in use."""
        return _shown(self._principals.set_enabled(name, enabled=False))

    @guarded
    def enable_principal(self, name: str) -> Principal:
        """Let a principal's keys count again."""
        return _shown(self._principals.set_enabled(name, enabled=True))

    @guarded
    def delete_principal(self, name: str) -> None:
        """Remove a principal; what it did stays in the audit log."""
        self._principals.delete(name)

    @guarded
    def rotate_principal_key(self, name: str, *, overlap_s: int = 0) -> NewApiKey:
        """Make a new API key; the one before is good for *overlap_s* more seconds."""
        return _shown_key(self._principals.rotate(name, now_ms=self._store.now_ms(), overlap_s=overlap_s))

    @guarded
    def create_policy(self, name: str, document: str | Mapping[str, Any], *, replace: bool = False) -> PolicyRecord:
        """Keep a policy, JSON or what JSON stands for; with *replace* also instead of another one."""
        self._principals.save_policy(name, document, replace=replace)
        return self._described_policies(name)[0]

    @guarded
    def delete_policy(self, name: str) -> None:
        """Remove a policy that nobody has."""
        self._principals.delete_policy(name)

    @guarded
    def describe_policies(self, name: str | None = None) -> list[PolicyRecord]:
        """List policies with who has them, the built-in ones first, or the one called *name*."""
        return self._described_policies(name)

    @guarded
    def attach_policy(self, principal: str, policies: Sequence[str]) -> Principal:
        """Give a principal policies; they count from its next call on."""
        return _shown(self._principals.attach(principal, _several(policies)))

    @guarded
    def detach_policy(self, principal: str, policies: Sequence[str]) -> Principal:
        """Take policies away from a principal, from its next call on."""
        return _shown(self._principals.detach(principal, _several(policies)))

    @guarded
    def simulate_policy(
        self, principal: str, action: str, resources: Sequence[str], *, run_as: str = "", source_ip: str = ""
    ) -> list[Simulation]:
        """Return what a principal's policies decide about each resource, and the statement that decided.

        Args:
            resources: such as `instance/web-1`; the tags of instances are those of their enrolment.
            run_as: the user of `ecs:CommandRunAs` and `ecs:SessionStartAs`.
        """
        rules = Rules(self._principals.policies_of(self._principals.get(principal).policies))
        given = {RUN_AS: run_as, SESSION_AS: run_as, SOURCE_IP: source_ip}
        named = [Resource(*pair) for pair in self._gate.resources(resources)]
        decisions = rules.decide_all(action, named, {key: value for key, value in given.items() if value})
        return [
            Simulation(
                action=action,
                resource=resource.arn,
                allowed=decision.allowed,
                policy=decision.policy,
                statement=decision.statement,
                reason=decision.reason,
            )
            for resource, decision in zip(named, decisions, strict=True)
        ]

    def _described_policies(self, name: str | None) -> list[PolicyRecord]:
        users = self._principals.all()
        return [
            PolicyRecord(
                name=known,
                built_in=known in BUILT_IN,
                principals=tuple(user.name for user in users if known in user.policies),
                document=json.loads(json.dumps(document)),
            )
            for known, document in self._principals.documents(name).items()
        ]


def _several(names: Sequence[str]) -> Sequence[str]:
    return (names,) if isinstance(names, str) else names


def _shown(record: PrincipalRecord) -> Principal:
    return Principal(
        name=record.name,
        kind=record.kind,
        enabled=record.enabled,
        policies=tuple(record.policies),
        key_ids=tuple(key.key_id for key in record.keys),
        creation_time=clock.to_datetime(record.created_at_ms),
    )


def _shown_key(made: NewKey) -> NewApiKey:
    return NewApiKey(principal=made.principal, key_id=made.key_id, api_key=made.api_key)
