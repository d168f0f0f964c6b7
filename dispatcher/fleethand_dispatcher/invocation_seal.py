"""Seals what an invocation's records hold, and marks what they say of its ending.

Whoever reads the server finds ids, statuses and times. Whoever writes to it can neither make up an ending, nor move
one, an output or an order to another place: each is bound to the invocation, and to the instance where there is one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from fleethand_common import ids
from fleethand_common.states import AFTER_LAST_RUN, AFTER_STOP, TERMINAL, InstanceStatus
from fleethand_dispatcher.changes import Change
from fleethand_dispatcher.rows import Event, Row
from fleethand_dispatcher.vault import Vault, VaultError

_SNAPSHOT, _ORDER, _OUTPUT, _LIVE, _ENDING, _HEAD = "snapshot", "order", "output", "live", "ending", "head"


class Ending(NamedTuple):
    """What a mark stands for. Times are milliseconds on the server's clock; `output` is a digest."""

    status: InstanceStatus
    finished_at: int | None
    exit_code: int | None
    error_code: str
    error_info: str
    output: str
    dropped: int
    presumed: bool


class InvocationSeal:
    """Seals and opens the parts of invocations, under the vault's keys."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def head(
        self, invoke_id: str, snapshot: bytes, order: bytes, times: Mapping[str, int | str], targets: Sequence[str]
    ) -> dict[str, str | int]:
        """Return the fields of a new head."""
        return {
            "snapshot": self.snapshot(invoke_id, snapshot),
            "order": self._vault.seal_text(_ORDER, invoke_id, order),
            "mark": self._vault.mark(*_head_parts(invoke_id, times, targets)),
            **times,
        }

    def snapshot(self, invoke_id: str, snapshot: bytes) -> str:
        """Return a snapshot, given as JSON, as it is stored."""
        return self._vault.seal_text(_SNAPSHOT, invoke_id, snapshot)

    def is_head(self, mark: str, invoke_id: str, times: Mapping[str, int | str], targets: Sequence[str]) -> bool:
        """Tell whether an invocation was created at these times with these targets, in this order."""
        return self._vault.is_mark(mark, *_head_parts(invoke_id, times, targets))

    def open_snapshot(self, invoke_id: str, sealed: bytes) -> bytes:
        """Return the JSON of a snapshot.

        Raises:
            VaultError: it is not the one of this invocation.
        """
        return self._vault.open_text(_SNAPSHOT, invoke_id, sealed)

    def open_order(self, invoke_id: str, sealed: bytes) -> bytes:
        """Return the JSON of an order.

        Raises:
            VaultError: it is not the one of this invocation.
        """
        return self._vault.open_text(_ORDER, invoke_id, sealed)

    def marks(self, invoke_id: str, instance_ids: Sequence[str], row: Row) -> list[str]:
        """Return the marks of instances that begin with the same row; none if it has not ended."""
        if row.status not in TERMINAL:
            return []
        ending = _ending(row)
        return [self.mark_ending(invoke_id, instance_id, ending) for instance_id in instance_ids]

    def mark_ending(self, invoke_id: str, instance_id: str, ending: Ending) -> str:
        """Return the mark of an ending."""
        return self._vault.mark(_ENDING, invoke_id, instance_id, *ending)

    def is_authentic(self, invoke_id: str, instance_id: str, stored: Row | Event) -> bool:
        """Tell whether an ending is what was recorded; what has not ended says nothing yet.

        What a schedule shows of its last run is marked as that run's ending; its own status must follow from that one.
        """
        run_id, last = _last_run(stored)
        if last is not None:
            is_ours = ids.schedule_of(run_id) == invoke_id
            follows = stored.status not in TERMINAL or stored.status in _FOLLOWING[last]
            return is_ours and follows and self._is_ending(run_id, instance_id, stored, last)
        if stored.status in TERMINAL:
            return self._is_ending(invoke_id, instance_id, stored, stored.status)
        # a schedule that never ran has nothing to show
        return not (isinstance(stored, Row) and stored.cycle and (stored.output or stored.exit_code is not None))

    def _is_ending(self, invoke_id: str, instance_id: str, stored: Row | Event, status: InstanceStatus) -> bool:
        ending = _ending(stored)._replace(status=status)
        return self._vault.is_mark(stored.mark, _ENDING, invoke_id, instance_id, *ending)

    def arguments(self, invoke_id: str, changes: Sequence[tuple[Change, str]]) -> list[Any]:
        """Return the script's arguments for *changes*, each with its text: marked, and outputs sealed."""
        flat: list[Any] = []
        outputs: dict[str, tuple[str, bytes]] = {}  # many hosts say the same
        for change, text in changes:
            digest, stored = "", text.encode()
            if text and change.kind == "output":
                stored = self._piece(invoke_id, change.i, change.offset or 0, text)
            elif text and change.kind == "finished":
                if text not in outputs:
                    outputs[text] = self._output(invoke_id, text)
                digest, stored = outputs[text]
            flat += [_encode(self._marked(invoke_id, change, digest)), stored]
        return flat

    def _marked(self, invoke_id: str, change: Change, digest: str) -> Change:
        to = InstanceStatus.CANCELLED if change.kind == "stop" else change.to
        if to not in TERMINAL:
            return change
        ending = Ending(
            to,
            change.at,
            change.exit_code,
            change.error_code or "",
            change.error_info or "",
            digest,
            change.dropped or 0,
            change.presumed,
        )
        mark = self.mark_ending(invoke_id, change.i, ending)
        return msgspec.structs.replace(change, digest=digest or None, mark=mark)

    def _output(self, invoke_id: str, text: str) -> tuple[str, bytes]:
        digest = self._vault.mark(_OUTPUT, invoke_id, text)
        return digest, self._vault.seal_alike(_OUTPUT, _joined(invoke_id, digest), text.encode())

    def open_output(self, invoke_id: str, digest: str, sealed: bytes) -> str | None:
        """Return a kept output, or None if it is not the one of this digest."""
        try:
            return self._vault.open(_OUTPUT, _joined(invoke_id, digest), sealed).decode()
        except VaultError:
            return None

    def _piece(self, invoke_id: str, instance_id: str, offset: int, text: str) -> bytes:
        sealed = self._vault.seal_text(_LIVE, _joined(invoke_id, instance_id, offset), text.encode())
        return f"{offset} {sealed}".encode()

    def open_piece(self, invoke_id: str, instance_id: str, piece: bytes) -> str | None:
        """Return a live piece of output, or None if it is none of this instance."""
        offset, _, sealed = piece.partition(b" ")
        name = _joined(invoke_id, instance_id, offset.decode(errors="replace"))
        try:
            return self._vault.open_text(_LIVE, name, sealed).decode()
        except VaultError:
            return None

    def open_live(self, invoke_id: str, instance_id: str, pieces: bytes) -> str:
        """Return what has come so far of an output; what is none of it is left out."""
        texts = (self.open_piece(invoke_id, instance_id, piece) for piece in pieces.split(b"\n") if piece)
        return "".join(text for text in texts if text is not None)


_encode = msgspec.json.Encoder().encode

_FOLLOWING = {
    status: {AFTER_LAST_RUN[status], AFTER_STOP[status], InstanceStatus.STOPPED, InstanceStatus.CANCELLED}
    for status in TERMINAL
}
"""How a schedule can end on an instance whose last run ended so."""


def _last_run(stored: Row | Event) -> tuple[str, InstanceStatus | None]:
    """Return the run whose ending is shown, and how that ended; nothing for what is no schedule's, or has none yet."""
    if isinstance(stored, Event):
        return stored.run, stored.last
    return (stored.cycle.ran, stored.cycle.last) if stored.cycle else ("", None)


def _ending(stored: Row | Event) -> Ending:
    return Ending(
        stored.status,
        stored.finished_at,
        stored.exit_code,
        stored.error_code,
        stored.error_info,
        stored.output,
        stored.dropped,
        stored.presumed,
    )


def _joined(*parts: object) -> str:
    return " ".join(map(str, parts))


def _head_parts(invoke_id: str, times: Mapping[str, int | str], targets: Sequence[str]) -> tuple[object, ...]:
    digest = hashlib.blake2b("\n".join(targets).encode(), digest_size=32).hexdigest()
    return _HEAD, invoke_id, times["created_at"], times["deliver_before"], len(targets), digest
