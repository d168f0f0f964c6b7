"""Writes letters: signs what goes down, and seals what is secret for each host that may read it."""

import base64
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from fleethand_common import ids, letters, messages, sealing, signing
from fleethand_common.letters import Letter, Token
from fleethand_common.sealing import PairKeys
from fleethand_common.signing import Kind
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.peers import Peers

_encode = msgspec.json.Encoder().encode


class Written(NamedTuple):
    """A letter, and the token of each instance that can be trusted with it; others are not enrolled."""

    letter: bytes
    """JSON of a `Letter`."""
    tokens: Mapping[str, str]


class LetterWriter:
    """Turns messages into what may lie in anybody's queue."""

    def __init__(self, keyring: Keyring, peers: Peers) -> None:
        self._keyring = keyring
        self.peers = peers

    def execute(self, order: messages.ExecutionOrder, instance_ids: Sequence[str]) -> Written:
        """Write an order; only its instances can read it.

        Raises:
            KeyringError: this control plane has no key to sign with.
        """
        return self.execute_for(order, self.peers.keys_of(instance_ids))

    def execute_for(self, order: messages.ExecutionOrder, peers: Mapping[str, PairKeys]) -> Written:
        """Write an order for instances whose keys the caller has looked up, for many orders at once.

        Raises:
            KeyringError: this control plane has no key to sign with.
        """
        message, key = messages.encode(order), sealing.new_key()
        letter = Letter(
            invocation_id=order.invocation_id,
            version=messages.PROTOCOL_VERSION,
            sealed=sealing.seal(message, key),
        )
        signer = self._keyring.signer(order.created_at_ms)
        tokens: dict[str, str] = {}
        for group in letters.groups(list(peers)):
            signature = signer.sign(signing.statement(Kind.EXECUTE, message, group))
            packed = letters.pack(Token(key, signature, signer.key.key_id, tuple(group)))
            for name in group:
                tokens[name] = base64.b64encode(sealing.seal(packed, peers[name].down)).decode()
        return Written(_encode(letter), tokens)

    def stop(self, stop: messages.StopOrder, instance_ids: Sequence[str], at_ms: int) -> Written:
        """Write a stop; it holds no secret and is not sealed. What is no instance id gets no token.

        Raises:
            KeyringError: this control plane has no key to sign with.
        """
        message = messages.encode(stop)
        letter = Letter(invocation_id=stop.invocation_id, version=messages.PROTOCOL_VERSION, plain=message)
        signer = self._keyring.signer(at_ms)
        tokens: dict[str, str] = {}
        for group in letters.groups([name for name in instance_ids if ids.is_instance_id(name)]):
            signature = signer.sign(signing.statement(Kind.STOP, message, group))
            token = base64.b64encode(letters.plain_token(signature, signer.key.key_id, group)).decode()
            tokens.update(dict.fromkeys(group, token))
        return Written(_encode(letter), tokens)

    def directive(self, directive: messages.Directive, signed_by: str | None = None) -> tuple[bytes, str]:
        """Write a directive, which is the same for every host; returns the letter and its token.

        Args:
            signed_by: the name of the key, if it is not to be the newest, which hosts may not know yet.

        Raises:
            KeyringError: this control plane has no key to sign with.
        """
        message = messages.encode(directive)
        letter = Letter(invocation_id="", version=messages.PROTOCOL_VERSION, plain=message)
        signer = self._keyring.signer(directive.issued_at_ms, signed_by)
        audience = (signing.EVERYONE,)
        signature = signer.sign(signing.statement(Kind.DIRECTIVE, message, audience))
        token = letters.plain_token(signature, signer.key.key_id, audience)
        return _encode(letter), base64.b64encode(token).decode()
