"""Opening and checking what comes down: the genuine is opened, everything else is refused with its reason."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_common import letters, messages, sealing, signing
from fleethand_common.clock import Clock
from fleethand_common.credentials import Credentials, Provision
from fleethand_common.letters import Letter
from fleethand_common.messages import Directive, Refusal, StopOrder
from fleethand_common.sealing import PairKeys
from fleethand_common.signing import Kind, PublicKey
from fleethand_dispatcher.envelope import Parts, directive_parts, order_parts, stop_parts
from fleethand_dispatcher.keyring import AHEAD_MAX_MS, Keyring, KeyringError, new_signing_key
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_worker.credentials import CredentialFiles
from fleethand_worker.trust import Distrusted, Trust
from unit.worker.control_line import make_order, now_ms

AUDIENCE = tuple(f"host-{number}" for number in range(1, 17))


class Pairs:
    """Peers without records: the keys that were agreed on."""

    def __init__(self, keys: Mapping[str, PairKeys]) -> None:
        self.keys = keys

    def keys_of(self, instance_ids: Any) -> dict[str, PairKeys]:
        """Return those that are known."""
        return {name: self.keys[name] for name in instance_ids if name in self.keys}


class World:
    """A control plane and its hosts, without a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keyring = Keyring.create(folder / "keys")
        self.boxes = {name: sealing.new_box_keys() for name in AUDIENCE}
        pairs = {name: sealing.pair_keys(self.keyring.box.secret, box.public) for name, box in self.boxes.items()}
        self.writer = LetterWriter(self.keyring, Pairs(pairs))  # type: ignore[arg-type]
        self.clock = Clock()
        self.files: dict[str, CredentialFiles] = {}

    def trust(self, name: str = "host-1") -> Trust:
        """Return what a host trusts, as its worker does after a start."""
        if name not in self.files:
            self.files[name] = CredentialFiles(self.folder / name)
            self.files[name].write_keys(self.keyring.public_keys())
        return Trust(self.credentials(name), self.files[name], self.clock)

    def credentials(self, name: str = "host-1") -> Credentials:
        """Return a host's identity."""
        return Credentials(
            instance_id=name,
            box_secret=self.boxes[name].secret,
            control_public=self.keyring.box.public,
            redis_url="redis://localhost",
            enrolled_at_ms=1,
        )

    def order(self, content: str = "echo hi", **fields: Any) -> "Message":
        """Write an order for everybody."""
        order = make_order("t-1", content, **fields)
        written = self.writer.execute(order, AUDIENCE)
        return Message(order_parts(written.letter, invoke_id="t-1", command_name="", attempt=1), written.tokens)

    def stop(self, invocation_id: str = "t-1") -> "Message":
        """Write a stop for everybody."""
        stop = StopOrder(invocation_id=invocation_id, deliver_before_ms=now_ms() + 60_000)
        written = self.writer.stop(stop, AUDIENCE, now_ms())
        return Message(stop_parts(written.letter, invoke_id=invocation_id, attempt=1), written.tokens)

    def directive(self, sequence: int, signed_by: str | None = None, **fields: Any) -> "Message":
        """Write a directive."""
        values = {"issued_at_ms": now_ms(), "keys": self.keyring.public_keys(), **fields}
        letter, token = self.writer.directive(Directive(sequence=sequence, **values), signed_by)
        return Message(directive_parts(letter, sequence=sequence), dict.fromkeys(AUDIENCE, token))


class Message:
    """A message for several hosts."""

    def __init__(self, parts: Parts, tokens: Mapping[str, str]) -> None:
        self.parts = parts
        self.tokens = tokens

    def arrives(self, name: str = "host-1") -> tuple[str, dict[str, Any]]:
        """Return the body and the headers that a host gets."""
        message = json.loads(self.parts.whole(name, self.tokens[name]))
        return base64.b64decode(message["body"]).decode(), message["headers"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A control plane and hosts."""
    return World(tmp_path)


@pytest.fixture(scope="module")
def old_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One that many examples share."""
    return World(tmp_path_factory.mktemp("world"))


def refusal(trust: Trust, kind: Kind, body: Any, headers: Any) -> Refusal:
    """Return why a message is refused; it must be."""
    with pytest.raises(Distrusted) as caught:
        trust.open(kind, body, headers)
    assert "echo" not in caught.value.detail
    return caught.value.reason


def with_letter(body: str, **changes: Any) -> str:
    """Return a body whose letter is changed."""
    arguments, kwargs, rest = json.loads(body)
    return json.dumps([arguments, {"order": {**kwargs["order"], **changes}}, rest])


def test_genuine_messages_are_opened_by_every_host_they_are_for(world: World) -> None:
    """An order, a stop, a directive: each comes out as it was written."""
    for name in AUDIENCE:
        trust = world.trust(name)
        order = messages.decode_order(trust.open(Kind.EXECUTE, *world.order("echo é").arrives(name)))
        assert ("t-1", "echo é") == (order.invocation_id, order.content)
        assert messages.decode_stop(trust.open(Kind.STOP, *world.stop().arrives(name))).invocation_id == "t-1"
        assert messages.decode_directive(trust.open(Kind.DIRECTIVE, *world.directive(1).arrives(name))).sequence == 1


@given(st.data())
def test_altered_letter_is_refused_at_every_position(old_world: World, data: st.DataObject) -> None:
    """Whichever bit of what was sealed, or of what was signed in the clear, is another."""
    trust = old_world.trust()
    kind = data.draw(st.sampled_from([Kind.EXECUTE, Kind.STOP, Kind.DIRECTIVE]))
    message = {Kind.EXECUTE: old_world.order, Kind.STOP: old_world.stop}.get(kind, lambda: old_world.directive(1))()
    body, headers = message.arrives()
    field = "sealed" if kind is Kind.EXECUTE else "plain"
    content = bytearray(base64.b64decode(json.loads(body)[1]["order"][field]))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))

    body = with_letter(body, **{field: base64.b64encode(content).decode()})

    assert refusal(trust, kind, body, headers) is Refusal.ALTERED


@given(st.data())
def test_altered_token_is_refused_at_every_position(old_world: World, data: st.DataObject) -> None:
    """Its key, its signature, its signer and its audience are all bound to the message."""
    trust = old_world.trust()
    kind = data.draw(st.sampled_from([Kind.EXECUTE, Kind.STOP]))
    body, headers = (old_world.order if kind is Kind.EXECUTE else old_world.stop)().arrives()
    token = bytearray(base64.b64decode(headers[messages.TOKEN_HEADER]))
    place = data.draw(st.integers(0, len(token) - 1))
    token[place] ^= 1 << data.draw(st.integers(0, 7))
    headers[messages.TOKEN_HEADER] = base64.b64encode(token).decode()

    reason = refusal(trust, kind, body, headers)

    assert reason in (
        {Refusal.NOT_SEALED_FOR_ME}
        if kind is Kind.EXECUTE
        else {Refusal.UNSIGNED, Refusal.ALTERED, Refusal.UNTRUSTED_KEY, Refusal.OTHER_INSTANCE}
    )


@pytest.mark.parametrize("token", [None, "", "!", "AAAA", 7, ["x"], "ä", "A" * 100_000])
@pytest.mark.parametrize("kind", list(Kind))
def test_message_without_a_token_is_unsigned(world: World, kind: Kind, token: Any) -> None:
    """Whatever stands in its place."""
    body, headers = {Kind.EXECUTE: world.order(), Kind.STOP: world.stop()}.get(kind, world.directive(1)).arrives()
    headers[messages.TOKEN_HEADER] = token

    expected = {Refusal.UNSIGNED, Refusal.NOT_SEALED_FOR_ME} if token == "AAAA" else {Refusal.UNSIGNED}
    assert refusal(world.trust(), kind, body, headers) in expected


@given(st.one_of(st.text(), st.binary(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_any_body_is_refused_and_raises_nothing_else(old_world: World, body: Any) -> None:
    """With a genuine token beside it."""
    _, headers = old_world.order().arrives()
    for kind in Kind:
        assert refusal(old_world.trust(), kind, body, headers) in {Refusal.UNSIGNED, Refusal.ALTERED}


@pytest.mark.parametrize("body", ["[" * 100_000, "[[" + "[" * 100_000, '{"a":' * 100_000, "[[],{" + '"a":[' * 50_000])
def test_body_without_a_bottom_is_refused(world: World, body: str) -> None:
    """It exhausts no stack."""
    _, headers = world.order().arrives()
    assert refusal(world.trust(), Kind.EXECUTE, body, headers) is Refusal.UNSIGNED


def test_order_of_one_host_is_refused_by_another(world: World) -> None:
    """As it is, with the header changed, and with the other host's own token beside it."""
    body, headers = world.order().arrives("host-1")
    other = world.trust("host-2")

    assert refusal(other, Kind.EXECUTE, body, headers) is Refusal.OTHER_INSTANCE
    redirected = {**headers, messages.INSTANCE_HEADER: "host-2"}
    assert refusal(other, Kind.EXECUTE, body, redirected) is Refusal.NOT_SEALED_FOR_ME
    _, others = world.order("echo another").arrives("host-2")
    assert refusal(other, Kind.EXECUTE, body, others) is Refusal.ALTERED


def test_stop_for_others_is_refused(world: World) -> None:
    """A stop is not sealed, but signed for its audience."""
    stop = StopOrder(invocation_id="t-1", deliver_before_ms=now_ms())
    written = world.writer.stop(stop, ["host-1"], now_ms())
    parts = stop_parts(written.letter, invoke_id="t-1", attempt=1)
    body, headers = Message(parts, {"host-2": written.tokens["host-1"]}).arrives("host-2")

    assert refusal(world.trust("host-2"), Kind.STOP, body, headers) is Refusal.OTHER_INSTANCE


def test_message_of_one_kind_is_none_of_another(world: World) -> None:
    """A signature of a directive stops nothing, a stop starts nothing."""
    kinds = {Kind.EXECUTE: world.order(), Kind.STOP: world.stop(), Kind.DIRECTIVE: world.directive(1)}
    for kind, message in kinds.items():
        for other in set(Kind) - {kind}:
            refusal(world.trust(), other, *message.arrives())


def test_own_signature_of_a_stranger_is_refused(world: World, tmp_path: Path) -> None:
    """Whoever knows everything but our signing key can seal for a host and is not trusted."""
    stranger = Keyring.create(tmp_path / "stranger")
    forged = Keyring(tmp_path, world.keyring.vault, world.keyring.box, stranger.signing_keys)
    pairs = {"host-1": sealing.pair_keys(world.keyring.box.secret, world.boxes["host-1"].public)}
    world.writer = LetterWriter(forged, Pairs(pairs))  # type: ignore[arg-type]
    body, headers = world.order().arrives("host-1")

    assert refusal(world.trust(), Kind.EXECUTE, body, headers) is Refusal.UNTRUSTED_KEY


def test_plain_order_is_refused_even_if_it_is_signed(world: World) -> None:
    """No message has two forms: an order that is not sealed is none."""
    message = messages.encode(make_order("t-1", "echo hi"))
    signer = world.keyring.signer(now_ms())
    signature = signer.sign(signing.statement(Kind.EXECUTE, message, ["host-1"]))
    token = letters.plain_token(signature, signer.key.key_id, ["host-1"])
    sealed = sealing.seal(token, world.trust().pair_keys.down)
    letter = msgspec.json.encode(Letter(invocation_id="t-1", version=2, plain=message))
    parts = order_parts(letter, invoke_id="t-1", command_name="", attempt=1)

    arrived = Message(parts, {"host-1": base64.b64encode(sealed).decode()}).arrives()

    assert refusal(world.trust(), Kind.EXECUTE, *arrived) is Refusal.ALTERED


def test_letter_that_names_another_invocation_is_refused(world: World) -> None:
    """What stands in the clear for routing must be what was signed."""
    body, headers = world.order().arrives()

    assert refusal(world.trust(), Kind.EXECUTE, with_letter(body, invocation_id="t-2"), headers) is Refusal.ALTERED


def test_key_counts_within_its_dates_and_until_it_is_revoked(world: World) -> None:
    """By when the message says it was made; a revocation by the host's own time."""
    key = world.keyring.public_keys()[0]
    at_ms = now_ms()
    body, headers = world.order(created_at_ms=at_ms).arrives()

    def opens(**changes: Any) -> bool:
        trust = world.trust()
        trust.follow(messages.encode(Directive(sequence=trust.sequence + 1, issued_at_ms=0, keys=[altered(**changes)])))
        try:
            return bool(trust.open(Kind.EXECUTE, body, headers))
        except Distrusted as error:
            return error.reason is not Refusal.UNTRUSTED_KEY

    def altered(**changes: Any) -> PublicKey:
        return msgspec.structs.replace(key, **changes)

    assert opens()
    assert opens(not_before_ms=at_ms, not_after_ms=at_ms)
    assert not opens(not_before_ms=at_ms + 1)
    assert not opens(not_after_ms=at_ms - 1)
    assert opens(revoked_at_ms=now_ms() + 60_000)
    assert not opens(revoked_at_ms=at_ms)


def test_directive_is_followed_once_and_in_order_also_after_a_restart(world: World) -> None:
    """An older one, or the same again, changes nothing: nobody unfreezes a fleet by a replay."""
    trust = world.trust()
    unfrozen, frozen = world.directive(5), world.directive(6, frozen=True, frozen_reason="break-in")
    for message in (unfrozen, frozen):
        trust.follow(trust.open(Kind.DIRECTIVE, *message.arrives()))

    for again in (trust, world.trust()):
        for message in (unfrozen, frozen):
            with pytest.raises(Distrusted) as caught:
                again.follow(again.open(Kind.DIRECTIVE, *message.arrives()))
            assert caught.value.reason is Refusal.SEEN_BEFORE
        assert (again.frozen, again.sequence) == ((True, "break-in"), 6)


def test_rotation_is_followed_by_a_host_that_missed_two_of_them(world: World) -> None:
    """Each directive is signed by a key that the one before it named; the newest alone is not trusted."""
    world.trust()
    chain = []
    for sequence, (name, signer) in enumerate((("second", "first"), ("third", "second")), start=1):
        world.keyring.add(new_signing_key(name, not_before_ms=0))
        chain.append(world.directive(sequence, signed_by=signer))
    trust = world.trust()

    assert refusal(trust, Kind.DIRECTIVE, *chain[1].arrives()) is Refusal.UNTRUSTED_KEY
    for message in chain:
        trust.follow(trust.open(Kind.DIRECTIVE, *message.arrives()))

    assert trust.open(Kind.EXECUTE, *world.order().arrives())  # signed by one of the new keys
    assert {key.name for key in world.trust().keys} == {"first", "second", "third"}


def test_new_identity_is_not_held_back_by_the_directive_of_the_one_before(world: World) -> None:
    """A host that is enrolled elsewhere follows that control plane from its first directive on."""
    trust = world.trust()
    trust.follow(trust.open(Kind.DIRECTIVE, *world.directive(10**13, frozen=True).arrives()))

    world.files["host-1"].install(Provision(credentials=world.credentials(), keys=world.keyring.public_keys()))

    assert (world.trust().sequence, world.trust().frozen.is_frozen) == (0, False)


def test_time_never_falls_behind_what_was_signed(world: World) -> None:
    """A server that sets the time back cannot make an old order young, nor undo a revocation."""
    trust, clock = world.trust(), world.clock
    signed_at_ms = now_ms() + 30_000
    trust.open(Kind.EXECUTE, *world.order(created_at_ms=signed_at_ms).arrives())

    clock.set(1_000)

    assert clock.now_ms() >= signed_at_ms
    trust.write_floor()
    world.clock = Clock()
    world.clock.set(1_000)
    world.trust()
    assert world.clock.now_ms() >= signed_at_ms


def test_control_plane_signs_nothing_of_the_far_future(world: World) -> None:
    """A server that lies about the time would have hosts refuse all that is signed later, for ever."""
    world.order(created_at_ms=now_ms() + AHEAD_MAX_MS - 10_000)
    with pytest.raises(KeyringError, match="set the one that is wrong"):
        world.order(created_at_ms=now_ms() + AHEAD_MAX_MS + 10_000)
    with pytest.raises(KeyringError):
        world.directive(1, issued_at_ms=now_ms() + AHEAD_MAX_MS + 10_000)


def test_nothing_that_is_not_signed_moves_the_time(world: World) -> None:
    """Or anybody could make a host refuse everything from now on."""
    trust, clock = world.trust(), world.clock
    body, headers = world.order(created_at_ms=now_ms() + 1_000_000).arrives("host-2")

    refusal(trust, Kind.EXECUTE, body, {**headers, messages.INSTANCE_HEADER: "host-1"})

    assert clock.floor_ms == 0
