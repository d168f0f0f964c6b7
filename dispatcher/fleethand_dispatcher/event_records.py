"""The event stream of an invocation, and the signal of its end: what those read who follow it or wait for it."""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from fleethand_dispatcher import keys
from fleethand_dispatcher.connection import BLOCK_S
from fleethand_dispatcher.invocation_seal import InvocationSeal
from fleethand_dispatcher.rows import Event, event_decoder
from fleethand_dispatcher.vault import Vault

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_CHUNK = 1000


class Entry(NamedTuple):
    """One entry of the event stream."""

    entry_id: bytes
    instance_id: str
    event: Event
    data: str
    """The piece of output; empty if somebody else put another there."""
    authentic: bool
    """Whether the ending, or the piece, is what was recorded."""


class EventRecords:
    """Reads what the scripts have written of events; every piece of output is opened, every ending is checked."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._seal = InvocationSeal(vault)

    def wait_done(self, invoke_id: str, after: bytes, timeout_s: float) -> bytes:
        """Block until the last instance has finished since *after*, at most *timeout_s*; the caller looks again.

        Returns:
            Where the next wait begins: a guess about a silent host can be replaced, and then there is a next time.
        """
        block_ms = max(1, int(min(timeout_s, BLOCK_S) * 1000))
        answer = self._client.xread({keys.invocation(invoke_id).done: after}, block=block_ms)
        return cast("Any", answer)[0][1][-1][0] if answer else after

    def read(self, after: Mapping[str, bytes], timeout_s: float | None) -> dict[str, list[Entry]]:
        """Read events of several invocations at one moment, each after an entry; those without any are left out.

        Args:
            timeout_s: block so long for the first; None does not.
        """
        block = None if timeout_s is None else max(1, int(min(timeout_s, BLOCK_S) * 1000))
        ids = {keys.invocation(invoke_id).events.encode(): invoke_id for invoke_id in after}
        streams = dict(zip(ids, after.values(), strict=True))
        answer = cast("list[Any]", self._client.xread(cast("Any", streams), count=_CHUNK, block=block))
        return {ids[key]: self._entries(ids[key], entries) for key, entries in answer or ()}

    def _entries(self, invoke_id: str, raw: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[Entry]:
        found = (self._entry(invoke_id, entry_id, fields) for entry_id, fields in raw)
        return [entry for entry in found if entry is not None]

    def _entry(self, invoke_id: str, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry | None:
        try:
            instance_id, event = fields[b"i"].decode(), event_decoder.decode(fields[b"e"])
        except (KeyError, ValueError):
            logger.error("cannot read the event %r of %s: it was altered in Redis", entry_id, invoke_id)
            return None
        if event.kind == "status":
            return Entry(entry_id, instance_id, event, "", self._seal.is_authentic(invoke_id, instance_id, event))
        data = self._seal.open_piece(invoke_id, instance_id, fields.get(b"d", b""))
        if data is None:
            logger.error("cannot use a piece of output of %s in %s: it was altered in Redis", instance_id, invoke_id)
        return Entry(entry_id, instance_id, event, data or "", data is not None)
