"""What this host trusts: messages that one of its trusted keys signed, for it, and that were sealed for it.

Whatever arrives may come from anybody who can write to the broker. It is opened here before anyone reads it.
"""

import base64
import logging
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from fleethand_common import letters, sealing
from fleethand_common.clock import Clock
from fleethand_common.credentials import Credentials
from fleethand_common.ids import is_instance_id
from fleethand_common.letters import Letter, Token
from fleethand_common.messages import (
    INSTANCE_HEADER,
    PROTOCOL_VERSION,
    TOKEN_HEADER,
    Directive,
    Refusal,
    decode_directive,
)
from fleethand_common.sealing import SealError
from fleethand_common.signing import AudienceError, Kind, PublicKey, SignatureError, UntrustedKeyError
from fleethand_worker.credentials import CredentialFiles

logger = logging.getLogger(__name__)

_TOKEN_CHARS_MAX = 8192
"""A token for a full audience of the longest ids has fewer than 2,000."""


class Distrusted(Exception):  # noqa: N818 - what it says of a message, not an error of ours
    """A message that is not to be followed.

    Args:
        invocation_id: what the message claims, empty if nothing.
    """

    def __init__(self, reason: Refusal, detail: str, invocation_id: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.invocation_id = invocation_id


class _Facts(msgspec.Struct, frozen=True):
    """What every version of a message says of itself; the rest is read by whoever it is for."""

    invocation_id: str = ""
    created_at_ms: int | None = None
    issued_at_ms: int | None = None


class _Argument(msgspec.Struct, frozen=True):
    order: Letter


_decode_body = msgspec.json.Decoder(tuple[list[object], _Argument, dict[str, object]]).decode
_decode_facts = msgspec.json.Decoder(_Facts).decode


class Frozen(NamedTuple):
    """Whether anything may be started, and why not."""

    is_frozen: bool
    reason: str


class Trust:
    """Opens and checks messages, by the keys and the directive that are in force on this host."""

    def __init__(self, credentials: Credentials, files: CredentialFiles, clock: Clock) -> None:
        """Take up what was in force before the last restart.

        Raises:
            SealError: the identity holds a key that is none.
        """
        self.pair_keys = sealing.pair_keys(credentials.box_secret, credentials.control_public)
        self._instance_id = credentials.instance_id
        self._files = files
        self._clock = clock
        self._directive = files.directive()
        if self._directive is not None:
            clock.raise_floor(self._directive.issued_at_ms)
        self._keys = self._directive.keys if self._directive else files.trusted_keys()
        clock.raise_floor(files.floor_ms())

    @property
    def keys(self) -> list[PublicKey]:
        """Return the keys that messages may be signed with."""
        return self._keys

    @property
    def sequence(self) -> int:
        """Return the sequence of the directive in force, 0 if there was none."""
        return self._directive.sequence if self._directive else 0

    @property
    def frozen(self) -> Frozen:
        """Return whether anything may be started."""
        directive = self._directive
        return Frozen(directive.frozen, directive.frozen_reason) if directive else Frozen(is_frozen=False, reason="")

    def open(self, kind: Kind, body: bytes | str, headers: Mapping[str, object]) -> bytes:
        """Return the message that the control plane wrote for this host.

        Raises:
            Distrusted: it did not, or not so, or not for this host.
        """
        text = headers.get(TOKEN_HEADER)
        if not isinstance(text, str) or not text or len(text) > _TOKEN_CHARS_MAX:
            raise Distrusted(Refusal.UNSIGNED, "there is no token", _claimed(body))
        letter = _letter(body)
        try:
            if headers.get(INSTANCE_HEADER) != self._instance_id:
                raise Distrusted(Refusal.OTHER_INSTANCE, "addressed to another instance")
            return self._check(kind, letter, self._token(kind, text))
        except Distrusted as error:
            raise Distrusted(error.reason, error.detail, _safe_id(letter.invocation_id)) from error

    def _token(self, kind: Kind, text: str) -> Token:
        try:
            token = base64.b64decode(text, validate=True)
        except ValueError:
            raise Distrusted(Refusal.UNSIGNED, "the token is none") from None
        try:
            return letters.unpack(sealing.open_sealed(token, self.pair_keys.down) if kind is Kind.EXECUTE else token)
        except SealError:
            raise Distrusted(Refusal.NOT_SEALED_FOR_ME, "the token does not open under this host's key") from None
        except SignatureError as error:
            raise Distrusted(Refusal.UNSIGNED, str(error)) from None

    def _check(self, kind: Kind, letter: Letter, token: Token) -> bytes:
        # An order is always sealed, anything else never: no message has two forms.
        if bool(letter.sealed) is not (kind is Kind.EXECUTE) or bool(letter.plain) is (kind is Kind.EXECUTE):
            raise Distrusted(Refusal.ALTERED, "the letter is not one of this kind")
        try:
            message = letters.open_letter(letter, token)
        except SealError:
            raise Distrusted(Refusal.ALTERED, "the letter is not the one that the token is for") from None
        now_ms = self._clock.now_ms()
        facts = _facts(message)
        # A stop says no time of its own: it counts as long as its key does.
        at_ms = (facts.created_at_ms or facts.issued_at_ms) if facts else None
        self._check_signature(kind, message, token, signed_at_ms=at_ms or now_ms, now_ms=now_ms)
        if facts is None:
            raise Distrusted(Refusal.UNREADABLE, "well signed, but no message of any version")
        if facts.invocation_id != letter.invocation_id:
            raise Distrusted(Refusal.ALTERED, "the letter names another invocation than the message")
        self._clock.raise_floor(at_ms or 0)
        return message

    def _check_signature(self, kind: Kind, message: bytes, token: Token, *, signed_at_ms: int, now_ms: int) -> None:
        try:
            letters.check(
                kind,
                message,
                token,
                instance_id=self._instance_id,
                trusted=self._keys,
                signed_at_ms=signed_at_ms,
                now_ms=now_ms,
            )
        except UntrustedKeyError as error:
            raise Distrusted(Refusal.UNTRUSTED_KEY, str(error)) from None
        except AudienceError as error:
            raise Distrusted(Refusal.OTHER_INSTANCE, str(error)) from None
        except SignatureError as error:
            raise Distrusted(Refusal.ALTERED, str(error)) from None

    def follow(self, message: bytes) -> Directive:
        """Take a directive that `open` returned: trust its keys from now on, also after a restart.

        Raises:
            Distrusted: it cannot be read, or is not newer than the one in force.
        """
        try:
            directive = decode_directive(message)
        except ValueError as error:
            raise Distrusted(Refusal.UNREADABLE, f"cannot read the directive: {error}") from None
        if directive.version > PROTOCOL_VERSION:
            text = f"a directive of protocol {directive.version}; this worker knows up to {PROTOCOL_VERSION}"
            raise Distrusted(Refusal.UNREADABLE, text)
        if directive.sequence <= self.sequence:
            text = f"directive {directive.sequence} is not newer than {self.sequence}, which is in force"
            raise Distrusted(Refusal.SEEN_BEFORE, text)
        self._directive, self._keys = directive, directive.keys
        try:
            self._files.write_directive(directive)
        except OSError as error:  # the control plane sends it again after a restart
            logger.error("event=directive_not_written reason=%s", error.strerror)
        return directive

    def write_floor(self) -> None:
        """Write down the time that is proven to have come.

        Raises:
            OSError: it cannot be written.
        """
        self._files.write_floor(self._clock.floor_ms)


def _letter(body: bytes | str) -> Letter:
    try:
        return _decode_body(body)[1].order
    except (ValueError, RecursionError):
        raise Distrusted(Refusal.UNSIGNED, "there is no letter") from None


def _facts(message: bytes) -> _Facts | None:
    try:
        return _decode_facts(message)
    except (ValueError, RecursionError):
        return None


def _claimed(body: bytes | str) -> str:
    """Return which invocation a message says it belongs to, if it has the form of one."""
    try:
        return _safe_id(_letter(body).invocation_id)
    except Distrusted:
        return ""


def _safe_id(text: str) -> str:
    return text if is_instance_id(text) else ""
