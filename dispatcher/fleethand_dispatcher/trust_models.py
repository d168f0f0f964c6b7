"""What the dispatcher answers about principals, policies, keys, freezing and the audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fleethand_dispatcher.models import Record


class Principal(Record):
    """A person or a program that may use an API key."""

    name: str
    kind: str
    """`user` or `program`."""
    enabled: bool
    policies: tuple[str, ...]
    key_ids: tuple[str, ...]
    """The newest last; an older one is good for a while after it was replaced."""
    creation_time: datetime


class NewApiKey(Record):
    """A key that was just made: the only time that it can be read."""

    principal: str
    key_id: str
    api_key: str


class PolicyRecord(Record):
    """A policy and who has it."""

    name: str
    built_in: bool
    principals: tuple[str, ...]
    document: Mapping[str, Any]


class Simulation(Record):
    """What a principal's policies decide about one thing."""

    action: str
    resource: str
    allowed: bool
    policy: str = ""
    """The one that decided; empty if no statement fits."""
    statement: int = 0
    """Its number in the policy, from 1."""
    reason: str


class FreezeStatus(Record):
    """Whether the fleet is frozen: the newest signed directive says so."""

    frozen: bool
    actor: str = ""
    reason: str = ""
    since_time: datetime | None = None
    hosts: int = 0
    """Online hosts by their own word."""
    hosts_frozen: int = 0
    """Those of them that say that they are frozen."""


class SigningKeyRecord(Record):
    """A key that signs orders, by its public half."""

    name: str
    key_id: str
    not_before_time: datetime
    revoked_time: datetime | None = None
    signs: bool
    """Whether it is the one that signs now."""
    signer_command: bool
    """Whether a program holds it, and not a file."""
    hosts: int
    """Enrolled hosts that know it."""
    hosts_enrolled: int


class AuditRecord(Record):
    """An entry of the audit log."""

    sequence: int
    time: datetime
    action: str
    actor: str
    outcome: str
    targets: tuple[str, ...]
    """The first 20 of `target_count`."""
    target_count: int
    digest: str
    """Of what was to be run: alike for the same content and parameters, and of no use to guess them by."""
    source: str
    detail: str
    invoke_id: str
    previous: str
    """The digest of the entry before."""


class AuditVerification(Record):
    """Whether the audit log is whole."""

    ok: bool
    count: int
    """Entries that are as they were written."""
    first_bad: int | None = None
    reason: str = ""
    head_sequence: int = 0
    head_digest: str = ""
