"""The records in Redis: one object that holds all who read and write them; the keys are in `keys.py`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec
from redis.exceptions import NoScriptError

from fleethand_dispatcher import keys
from fleethand_dispatcher.activation_records import ActivationRecords
from fleethand_dispatcher.audit import AuditLog
from fleethand_dispatcher.audit_records import End
from fleethand_dispatcher.command_records import CommandRecords
from fleethand_dispatcher.connection import connect
from fleethand_dispatcher.directive_records import DirectiveRecords, IssuedDirective
from fleethand_dispatcher.event_records import EventRecords
from fleethand_dispatcher.host_records import HostRecords
from fleethand_dispatcher.instance_records import InstanceRecords
from fleethand_dispatcher.invocation_records import InvocationRecords
from fleethand_dispatcher.principal_records import PrincipalRecords
from fleethand_dispatcher.run_records import RunRecords
from fleethand_dispatcher.schedule_records import ScheduleRecords
from fleethand_dispatcher.security_records import SecurityRecords
from fleethand_dispatcher.vault import Vault

if TYPE_CHECKING:
    import redis

TOKEN_LIFE_S = 86_400
_DAY_LIFE_S = 2 * 86_400


class ClientToken(msgspec.Struct, frozen=True):
    """What a client token stands for: the digest of its request, and the ids that whoever carries it out uses.

    In Redis a mark stands for the digest: whoever reads there must not try out what a secret parameter was.
    """

    digest: str
    answer: str
    settled: bool = False


class Look(NamedTuple):
    """What the records say of some instances, and when that was."""

    now_ms: int
    seen: list[int | None]
    """When each was last heard of, None for one that never was."""
    hosts_version: int
    """As `HostRecords.version` returns it."""


class Standing(NamedTuple):
    """What must be known before anything starts."""

    issued: list[IssuedDirective]
    """All directives, which tell of a freeze."""
    audit_end: End


class Counted(NamedTuple):
    """How many invocations the day has by now, and the version of the enrolled hosts when that was counted."""

    today: int
    hosts_version: int


class Store:
    """All records of one server; *vault* seals what must not be read or changed there."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self.client = client
        self.vault = vault
        self.audit = AuditLog(client, vault)
        self.activations = ActivationRecords(client, vault)
        self.hosts = HostRecords(client, vault)
        self.principals = PrincipalRecords(client, vault)
        self.directives = DirectiveRecords(client)
        self.commands = CommandRecords(client, vault)
        self.invocations = InvocationRecords(client, vault)
        self.events = EventRecords(client, vault)
        self.instances = InstanceRecords(client, vault)
        self.runs = RunRecords(client, vault)
        self.schedules = ScheduleRecords(client, vault)
        self.security = SecurityRecords(client)

    @classmethod
    def at(cls, url: str, vault: Vault) -> "Store":
        """Return the store of the server at *url*."""
        return cls(connect(url), vault)

    def now_ms(self) -> int:
        """Return the control plane's time: the server's."""
        seconds, micros = self.client.time()
        return seconds * 1000 + micros // 1000

    def look(self, instance_ids: Sequence[str]) -> Look:
        """Read in one round trip the time, when some instances were seen, and the version of the enrolled hosts."""
        pipe = self.client.pipeline(transaction=False)
        pipe.time()
        pipe.get(keys.HOSTS_VERSION)
        if instance_ids:
            pipe.zmscore(keys.SEEN, list(instance_ids))
        (seconds, micros), version, *scores = pipe.execute()
        seen = [None if score is None else int(score) for some in scores for score in some]
        return Look(seconds * 1000 + micros // 1000, seen, int(version or 0))

    def before_start(self) -> Standing:
        """Read in one round trip what must be known before anything starts."""
        pipe = self.client.pipeline(transaction=False)
        self.directives.ask_all(pipe)
        self.audit.records.ask_end(pipe)
        try:
            issued, end = pipe.execute()
        except NoScriptError:  # the server does not know the script yet; `end` sends it
            return Standing(self.directives.after(0), self.audit.records.end())
        return Standing(self.directives.decoded(issued), self.audit.records.decoded(end))

    def claim_token(self, verb: str, client_token: str, digest: str, plan: str) -> ClientToken:
        """Claim a client token for a request with the ids that it will make; returns what the token stands for."""
        key = keys.token(verb, client_token)
        fresh = ClientToken(digest, plan)
        if self.client.set(key, self._kept_token(key, fresh), nx=True, ex=TOKEN_LIFE_S):
            return fresh
        raw = cast("bytes | None", self.client.get(key))
        if raw is None:  # it was given back in between
            return self.claim_token(verb, client_token, digest, plan)
        kept = msgspec.json.decode(raw, type=ClientToken)
        is_same = self.vault.is_mark(kept.digest, key, digest, kept.answer)
        return msgspec.structs.replace(kept, digest=digest if is_same else "")

    def settle_token(self, verb: str, client_token: str, token: ClientToken | None) -> None:
        """Remember that a request was carried out; None gives the token back, as the request was refused."""
        key = keys.token(verb, client_token)
        if token is None:
            self.client.delete(key)
        else:
            settled = msgspec.structs.replace(token, settled=True)
            self.client.set(key, self._kept_token(key, settled), ex=TOKEN_LIFE_S)

    def _kept_token(self, key: str, token: ClientToken) -> bytes:
        mark = self.vault.mark(key, token.digest, token.answer)
        return msgspec.json.encode(msgspec.structs.replace(token, digest=mark))

    def count_today(self, now_ms: int) -> Counted:
        """Count one more invocation of the day, UTC.

        Whoever counts writes orders next, and must know then whether the keys of hosts are still those that it knows.
        """
        key = keys.day(datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%d"))
        pipe = self.client.pipeline(transaction=True)
        pipe.incr(key)
        pipe.expire(key, _DAY_LIFE_S)
        pipe.get(keys.HOSTS_VERSION)
        today, _, version = pipe.execute()
        return Counted(today, int(version or 0))

    def results_held(self) -> int:
        """Return the number of rows of all invocations."""
        return int(cast("bytes | None", self.client.get(keys.RESULTS)) or 0)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
