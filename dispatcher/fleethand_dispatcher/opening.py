"""Opens what came up: a report counts as a host's only if it opens under the key that was agreed with that host."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from fleethand_common import ids, sealing
from fleethand_common.letters import SealedReport
from fleethand_common.messages import ExecutionReport, Report, decode_report
from fleethand_common.sealing import PairKeys, SealError
from fleethand_dispatcher.peers import Peers

_ID_CHARS = 64
_decode = msgspec.json.Decoder(SealedReport).decode


class Forgery(StrEnum):
    """Why something in the queue of reports is no host's report."""

    NOT_SEALED = "NotSealed"
    """It is no sealed report at all."""
    UNKNOWN_INSTANCE = "UnknownInstance"
    """It names an instance that is not enrolled, or no longer."""
    DOES_NOT_OPEN = "DoesNotOpen"
    """It was sealed under another key than the one of the host that it names, or it was altered."""
    OTHER_INSTANCE = "OtherInstance"
    """One host's key sealed a report that speaks for another."""


class Opened(NamedTuple):
    """A report that its host wrote."""

    raw: bytes
    report: Report


class Rejected(NamedTuple):
    """What cannot be used, and why."""

    raw: bytes
    reason: str
    forgery: Forgery | None = None
    """None if a host did write it, but nothing that can be read."""
    instance_id: str = ""
    """Whom it names, if that is an enrolled instance."""


class ReportOpener:
    """Tells reports from forgeries."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    def open(self, batch: Sequence[bytes]) -> tuple[list[Opened], list[Rejected]]:
        """Part a batch into the reports of hosts, in their order, and what cannot be used."""
        opened: list[Opened] = []
        rejected: list[Rejected] = []
        envelopes = [_envelope(raw) for raw in batch]
        names = {envelope.instance_id for envelope in envelopes if envelope}
        keys = self._peers.keys_of([name for name in names if ids.is_instance_id(name)])
        for raw, envelope in zip(batch, envelopes, strict=True):
            outcome = _open(raw, envelope, keys)
            if isinstance(outcome, Opened):
                opened.append(outcome)
            else:
                rejected.append(outcome)
        return opened, rejected


def _envelope(raw: bytes) -> SealedReport | None:
    try:
        envelope: SealedReport = _decode(raw)
    except (ValueError, RecursionError):
        return None
    return envelope


def _open(raw: bytes, envelope: SealedReport | None, keys: dict[str, PairKeys]) -> Opened | Rejected:
    if envelope is None:
        return Rejected(raw, "it is no sealed report", Forgery.NOT_SEALED)
    name = envelope.instance_id
    pair = keys.get(name)
    if pair is None:
        return Rejected(raw, f"no instance {name[:_ID_CHARS]!r} is enrolled", Forgery.UNKNOWN_INSTANCE)
    try:
        plain = sealing.open_sealed(envelope.sealed, pair.up)
    except SealError:
        return Rejected(raw, f"it does not open under the key of {name}", Forgery.DOES_NOT_OPEN, name)
    return _read(raw, name, plain)


def _read(raw: bytes, name: str, plain: bytes) -> Opened | Rejected:
    try:
        report: Report = decode_report(plain)
    except (ValueError, RecursionError) as error:
        return Rejected(raw, str(error), instance_id=name)
    if report.instance_id != name:
        return Rejected(raw, f"sealed by {name}, it speaks for another instance", Forgery.OTHER_INSTANCE, name)
    if isinstance(report, ExecutionReport) and not ids.is_invocation_id(report.invocation_id):
        return Rejected(raw, "the invocation id is none", instance_id=name)
    return Opened(raw, report)
