"""What is kept of a schedule beside its invocation: all that the beat needs to fire it, and to check what it is told.

A definition holds content and parameters as they are, so it is sealed by the vault under the schedule's id: whoever
reads the server sees nothing of it, and whoever writes there can neither change it nor give it to another schedule.
It becomes bytes, and is read again, only in the two functions at the end.
"""

import functools
from datetime import UTC, datetime, tzinfo

import msgspec

from fleethand_common import clock
from fleethand_common.errors import RequestError
from fleethand_dispatcher.models import ParameterDefinition
from fleethand_dispatcher.permit import Permit
from fleethand_dispatcher.rows import Snapshot
from fleethand_dispatcher.schedules.frequency import Frequency, FrequencyKind, find_zone, parse_frequency
from fleethand_dispatcher.schedules.windows import Blackout, parse_blackout
from fleethand_dispatcher.scheduling.policy import Policy
from fleethand_dispatcher.vault import Vault, VaultError

_SECOND_MS = 1000
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


_KIND = "schedule"


class Aim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a schedule runs on: instances by id, or what is looked for again at each run."""

    instance_ids: list[str] = []
    tags: dict[str, str] = {}
    names: list[str] = []
    all_instances: bool = False
    limit: str | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether the targets are instances by id."""
        return bool(self.instance_ids)


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule; times are milliseconds since 1970."""

    id: str
    created_at: int
    snapshot: Snapshot
    parameters: dict[str, str]
    aim: Aim
    policy: Policy
    permit: Permit
    """Whose policies must allow each run: who made the schedule, or changed it last."""
    parameter_names: list[str]
    parameter_rules: list[dict[str, object]]
    """`ParameterDefinition`s, for a later change of the values."""
    kept: bool
    """Whether its command is kept, and so a changed one is."""
    version: int = 1
    paused_at: int | None = None
    """Since when it is paused."""

    @property
    def frequency(self) -> Frequency:
        """When it runs."""
        return _frequency(self.snapshot.frequency)

    @property
    def is_zoned(self) -> bool:
        """Whether each host runs it by its own time zone."""
        return self.frequency.kind is FrequencyKind.CRON and self.frequency.zone is None

    @property
    def blackout(self) -> Blackout:
        """When it does not fire."""
        return _blackout(tuple(self.policy.blackout))

    def held_by(self, at_ms: int, zone: str = "") -> str:
        """Return the window in which nothing fires at *at_ms*, empty if there is none."""
        if not self.policy.blackout:
            return ""
        own = self.frequency.zone or zone_of(zone)
        window = self.blackout.first_covering(clock.to_datetime(at_ms), own)
        return "" if window is None else window.text

    @property
    def created(self) -> datetime:
        """When it was created: where the grid of a rate begins."""
        return clock.to_datetime(self.created_at)

    def rules(self) -> tuple[ParameterDefinition, ...]:
        """Return what values of the parameters must look like."""
        return tuple(ParameterDefinition.model_validate(rule) for rule in self.parameter_rules)

    def first_after(self, at_ms: int, zone: str = "") -> int | None:
        """Return the first time of a schedule that begins at *at_ms*; an `at` of that very second counts."""
        return self.next_after(at_ms - _SECOND_MS if self.frequency.kind is FrequencyKind.AT else at_ms, zone)

    def next_after(self, at_ms: int, zone: str = "") -> int | None:
        """Return the first time after *at_ms* at which it is due, None if there is none."""
        from_ms = max(at_ms, (self.policy.start_at or 0) - 1)
        found = self.frequency.next_after(clock.to_datetime(from_ms), created=self.created, zone=zone_of(zone))
        due = None if found is None else round(found.timestamp() * 1000)
        end = self.policy.end_at
        return None if due is None or (end is not None and due > end) else due

    def is_due(self, at_ms: int, zone: str = "") -> bool:
        """Tell whether the schedule itself says that it is due then, whatever the index says."""
        policy = self.policy
        if bool(zone) != self.is_zoned:
            return False
        if not (policy.start_at or 0) <= at_ms <= (policy.end_at or at_ms):
            return False
        return self.frequency.is_due_time(clock.to_datetime(at_ms), created=self.created, zone=zone_of(zone))


@functools.lru_cache(maxsize=5_000)
def _frequency(text: str) -> Frequency:
    """Read a frequency that was checked when its schedule began; it may have ended since."""
    return parse_frequency(text, now=_LONG_AGO, created=_LONG_AGO)


@functools.lru_cache(maxsize=1_000)
def _blackout(texts: tuple[str, ...]) -> Blackout:
    return parse_blackout(texts)


@functools.lru_cache(maxsize=1_000)
def zone_of(name: str) -> tzinfo | None:
    """Return the zone called *name*, None for no name."""
    return find_zone(name) if name else None


@functools.lru_cache(maxsize=1_000)
def known_zone(name: str) -> str:
    """Return the name of a host's time zone; UTC where it says none that is known: a host's word becomes a key."""
    try:
        find_zone(name)
    except RequestError:
        return "UTC"
    return name


def paused(definition: Definition, at_ms: int | None) -> Definition:
    """Return a schedule that is paused since *at_ms*, or since before; None lets it go on."""
    since = None if at_ms is None else definition.paused_at or at_ms
    return msgspec.structs.replace(definition, paused_at=since, version=definition.version + 1)


class Unreadable(msgspec.Struct, frozen=True):
    """In the place of a definition that somebody else wrote, or that was sealed under a key that is gone."""

    id: str
    reason: str


_decode = msgspec.json.Decoder(Definition).decode


def encode(vault: Vault, definition: Definition) -> bytes:
    """Return a definition as it is written."""
    return vault.seal(_KIND, definition.id, msgspec.json.encode(definition))


def decode(vault: Vault, schedule_id: str, sealed: bytes) -> Definition | Unreadable:
    """Return the definition that was written for a schedule; what is not that is never carried out."""
    try:
        return _decode(vault.open(_KIND, schedule_id, sealed))
    except (VaultError, ValueError) as error:
        return Unreadable(schedule_id, str(error))
