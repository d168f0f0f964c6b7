"""One occurrence of a schedule on its way from the decision to the record, and the row that tells of it afterwards.

The way leads through Redis, so the beat that decides marks what it decided, and the one that carries it out looks at
nothing else: whoever writes into the outbox makes nothing run.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from fleethand_dispatcher.vault import Vault


class Outcome(StrEnum):
    """What became of one time at which a schedule was due."""

    FIRED = "fired"
    """A run was made."""
    SKIPPED = "skipped"
    """No host took part: the run before was still active, or there was none."""
    QUEUED = "queued"
    """It waits for the end of the run before; the run that it becomes has a row of its own."""
    MISSED = "missed"
    """No beat worked when it was due, and the policy does not make up for it."""
    HELD = "held back"
    """It fell into a blackout window, or the fleet was frozen."""
    PAUSED = "paused"
    """The schedule was paused."""
    DENIED = "denied"
    """Whoever made the schedule may not run it there any more."""


class Occurrence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One time at which a schedule is due, decided and not yet carried out. It waits in the outbox."""

    id: str
    """The schedule's."""
    due: int
    """The scheduled time: with the id, what it is known by."""
    zone: str = ""
    """For the hosts of this time zone only; empty for all."""
    outcome: Outcome = Outcome.FIRED
    reason: str = ""
    overlap: str = "skip"
    """As in the policy, and `all` where missed runs are made up for one after the other."""
    over: bool = False
    """The last one of the schedule, or of this zone."""
    only: str = ""
    """For this host only: it could not take part when its run was due."""
    at: int = 0
    """When it was decided."""
    mark: str = ""
    """Of all the rest; what waits for one host has one of its own."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a schedule's list of runs."""

    id: str
    due: int
    zone: str = ""
    at: int
    """When it was carried out."""
    outcome: Outcome
    reason: str = ""
    instances: int = 0
    """Hosts that took part."""
    skipped: int = 0
    """Hosts that did not, as the run before was still active there."""
    counts: dict[str, int] = {}
    """Hosts per status, kept when the run itself is removed."""


def marked(vault: Vault, occurrence: Occurrence) -> Occurrence:
    """Return an occurrence with the mark that says that a beat decided it."""
    return msgspec.structs.replace(occurrence, mark=vault.mark(*_parts(occurrence)))


def waiting(vault: Vault, occurrence: Occurrence, instance_ids: Iterable[str]) -> dict[str, str]:
    """Return for each of some hosts the mark of an occurrence that waits for it alone."""
    alone = msgspec.structs.replace(occurrence, over=False)
    return {i: vault.mark(*_parts(msgspec.structs.replace(alone, only=i))) for i in instance_ids}


def is_decided(vault: Vault, occurrence: Occurrence) -> bool:
    """Tell whether a beat decided this."""
    return vault.is_mark(occurrence.mark, *_parts(occurrence))


def _parts(occurrence: Occurrence) -> tuple[object, ...]:
    return "occurrence", *msgspec.structs.astuple(occurrence)[:-1]


encode = msgspec.json.Encoder().encode
decode_occurrence = msgspec.json.Decoder(Occurrence).decode
decode_run = msgspec.json.Decoder(Run).decode
