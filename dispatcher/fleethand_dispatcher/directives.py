"""Directives: what every host follows until the next one: whom to trust, and whether anything may be started.

All of them are kept, with their tokens, so that a host that was away gets what it missed in order: one that trusts
only a key of long ago learns of the next key from a directive that the old one signed. Passing them on needs no key.
"""

import base64
from collections.abc import Iterable, Sequence

import msgspec

from fleethand_common import letters, limits, messages
from fleethand_common.clock import elapsed_s
from fleethand_common.errors import FleethandError
from fleethand_common.letters import Letter
from fleethand_common.messages import Directive
from fleethand_common.signing import Kind, PublicKey, SignatureError
from fleethand_dispatcher.bus import Message, OrderBus
from fleethand_dispatcher.directive_records import IssuedDirective
from fleethand_dispatcher.envelope import directive_parts
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_dispatcher.peers import Peers
from fleethand_dispatcher.store import Store

_USEFUL_MS = (limits.DELIVER_WITHIN_MAX_S + 600) * 1000
"""How long a directive waits in a host's queue: longer than any order that lies there, as the host reads it first."""
_AGAIN_S = 20.0
"""A host that was just told is not told again: its next heartbeat may have been under way."""


class DirectiveError(FleethandError):
    """Cannot issue this directive: another one was issued at the same time. Try again."""

    code = "DirectiveConflict"


class Directives:
    """Issues directives and passes them on."""

    def __init__(self, store: Store, bus: OrderBus, keyring: Keyring) -> None:
        self._store = store
        self._bus = bus
        self._keyring = keyring
        self._writer = LetterWriter(keyring, Peers(store.hosts))
        self._told: dict[str, float] = {}

    def current(self, issued: Sequence[IssuedDirective] | None = None) -> Directive | None:
        """Return the newest directive that one of our own keys signed, None if there was none yet.

        It needs the folder of signing keys; without it, nothing can be told from a forgery.

        Args:
            issued: all that were ever issued, if the caller has just read them.
        """
        known = self._store.directives.after(0) if issued is None else issued
        genuine = (self._read(one) for one in reversed(known))
        return next((directive for directive in genuine if directive), None)

    def first_sequences(self) -> dict[str, int]:
        """Return for each key the sequence of the first genuine directive that told of it."""
        found: dict[str, int] = {}
        for issued in self._store.directives.after(0):
            directive = self._read(issued)
            for key in directive.keys if directive else ():
                found.setdefault(key.key_id, issued.sequence)
        return found

    def issue(
        self,
        frozen: bool | None = None,
        reason: str = "",
        signed_by: str | None = None,
        new_key: PublicKey | None = None,
    ) -> Directive:
        """Tell all hosts which keys to trust, and whether to start anything; returns when it is in their queues.

        Args:
            frozen: None leaves it as it is.
            reason: why the fleet is frozen.
            signed_by: the name of the key to sign with, one that hosts trust already; the newest if none is named.
            new_key: to be trusted besides those of the keyring, which is to get it when hosts are told.

        Raises:
            KeyringError: there is no such key.
            DirectiveError: somebody else issued one at this moment.
        """
        current, now_ms = self.current(), self._store.now_ms()
        if frozen is None and current is not None:
            frozen, reason = current.frozen, current.frozen_reason
        directive = Directive(
            # by the time, so that hosts follow a control plane that has lost its records
            sequence=max(now_ms, current.sequence + 1 if current else 0),
            issued_at_ms=max(now_ms, current.issued_at_ms if current else 0),
            keys=[*self._keyring.public_keys(), *([new_key] if new_key else [])],
            frozen=bool(frozen),
            frozen_reason=reason if frozen else "",
        )
        letter, token = self._writer.directive(directive, signed_by)
        issued = IssuedDirective(sequence=directive.sequence, letter=letter.decode(), token=token)
        if not self._store.directives.append(issued):
            raise DirectiveError()
        self._send([issued], self._store.hosts.ids())
        return directive

    def catch_up(self, pairs: Iterable[tuple[str, int]]) -> int:
        """Send hosts what they have missed; returns how many were behind.

        Args:
            pairs: instance ids, each with the sequence that it follows by its heartbeat.
        """
        last = self._store.directives.last_sequence()
        behind = 0
        for instance_id, sequence in pairs:
            if sequence >= last:
                self._told.pop(instance_id, None)
            elif instance_id not in self._told or elapsed_s() >= self._told[instance_id] + _AGAIN_S:
                self._tell(instance_id, sequence)
                behind += 1
        return behind

    def _tell(self, instance_id: str, sequence: int) -> None:
        missed = self._store.directives.after(sequence)
        if sequence == 0 and instance_id not in self._told:
            # It never heard of any, so it was most likely given the newest keys, and need not hear of the old ones.
            missed = missed[-1:]
        self._send(missed, [instance_id])
        self._told[instance_id] = elapsed_s()

    def _send(self, directives: Sequence[IssuedDirective], instance_ids: Sequence[str]) -> None:
        for issued in directives:
            parts = directive_parts(issued.letter.encode(), sequence=issued.sequence)
            message = Message(parts, control=True, useful_ms=_USEFUL_MS, token=issued.token)
            self._bus.publish(message, instance_ids)

    def _read(self, issued: IssuedDirective) -> Directive | None:
        """Return a directive if one of our keys signed it, and was not revoked by then."""
        try:
            letter = msgspec.json.decode(issued.letter, type=Letter)
            token = letters.unpack(base64.b64decode(issued.token, validate=True))
            directive: Directive = messages.decode_directive(letter.plain)
            letters.check(
                Kind.DIRECTIVE,
                letter.plain,
                token,
                instance_id="",
                trusted=self._keyring.public_keys(),
                signed_at_ms=directive.issued_at_ms,
                now_ms=directive.issued_at_ms,
            )
        except (ValueError, SignatureError):
            return None
        return directive
