"""Directives of the control plane: issued once, sent to everybody, kept for those who were away."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleethand_common.messages import Directive
from fleethand_dispatcher import keys
from fleethand_dispatcher.bus import RedisOrderBus
from fleethand_dispatcher.directives import DirectiveError, Directives
from fleethand_dispatcher.keyring import Keyring, KeyringError, new_signing_key
from fleethand_dispatcher.store import Store
from scripted_host import ScriptedHost


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    """The keys of this test's own control plane, which it may change."""
    return Keyring.create(tmp_path / "keys")


@pytest.fixture
def directives(plane: Any, keyring: Keyring) -> Directives:
    """What the command line uses."""
    return Directives(plane.store, RedisOrderBus(plane.store.client), keyring)


def beat(host: ScriptedHost, sequence: int) -> None:
    """Send a heartbeat of a host that follows this directive."""
    host.beat(directive_sequence=sequence)


def test_directive_reaches_every_enrolled_host_and_is_the_current_one(
    directives: Directives, make_host: Callable[..., ScriptedHost], keyring: Keyring
) -> None:
    """Also hosts that were never heard of; it names all keys, and stays until the next."""
    hosts = [make_host("host-1"), make_host("host-2")]
    assert directives.current() is None

    issued = directives.issue(frozen=True, reason="break-in")

    assert (issued.frozen, issued.frozen_reason, issued.keys) == (True, "break-in", keyring.public_keys())
    assert [[issued], [issued]] == [host.directives() for host in hosts]
    assert issued == directives.current()


def test_directive_that_says_nothing_of_freezing_leaves_it_as_it_is(directives: Directives) -> None:
    """New keys do not unfreeze a fleet."""
    directives.issue(frozen=True, reason="break-in")

    rotated = directives.issue()

    assert (rotated.frozen, rotated.frozen_reason) == (True, "break-in")
    assert not directives.issue(frozen=False, reason="").frozen


def test_sequences_grow_whatever_the_clock_says(directives: Directives, plane: Any) -> None:
    """And go by the time, so that hosts follow a control plane which lost its records."""
    before_ms = plane.store.now_ms()
    sequences = [directives.issue().sequence for _ in range(3)]
    assert before_ms <= sequences[0] < sequences[1] < sequences[2]

    plane.store.client.delete(keys.DIRECTIVES)

    assert directives.issue().sequence > sequences[0]


def test_two_directives_at_one_moment_are_one(directives: Directives, plane: Any, monkeypatch: Any) -> None:
    """The second is told to try again; nothing of it went out."""
    issue = directives.issue
    overtaken: list[Directive] = []

    def now_ms() -> int:
        monkeypatch.undo()
        overtaken.append(issue(frozen=True))
        return overtaken[0].sequence

    monkeypatch.setattr(directives._store, "now_ms", now_ms)

    with pytest.raises(DirectiveError):
        directives.issue(frozen=False)
    assert overtaken == [directives.current()]


def test_host_that_was_away_gets_what_it_missed_in_order(
    plane: Any, directives: Directives, keyring: Keyring, make_host: Callable[..., ScriptedHost]
) -> None:
    """By the aggregator, which signs nothing; a host that follows the newest gets nothing."""
    first, second = make_host("host-1"), make_host("host-2")
    issued = [directives.issue()]
    for name, signer in (("second", "first"), ("third", "second")):
        keyring.add(new_signing_key(name, not_before_ms=0))
        issued.append(directives.issue(signed_by=signer))
    for host in (first, second):
        host.trusted = keyring.public_keys()
        host.directives()

    beat(first, issued[0].sequence)
    beat(second, issued[-1].sequence)
    plane.settle()

    assert issued[1:] == first.directives()
    assert second.directives() == []
    beat(first, issued[0].sequence)  # was under way already
    plane.settle()
    assert first.directives() == []


def test_host_that_never_heard_of_any_gets_the_newest_first_and_then_all(
    plane: Any, directives: Directives, make_host: Callable[..., ScriptedHost], monkeypatch: Any
) -> None:
    """It was most likely provisioned with today's keys; if not, the chain helps."""
    first = make_host()
    issued = [directives.issue(frozen=frozen) for frozen in (True, False, True)]
    first.directives()
    monkeypatch.setattr("fleethand_dispatcher.directives._AGAIN_S", 0.0)

    beat(first, 0)
    plane.settle()
    assert issued[-1:] == first.directives()
    beat(first, 0)
    plane.settle()
    assert issued == first.directives()


def test_records_of_directives_that_were_altered_hold_nothing_up(
    plane: Any, directives: Directives, make_host: Callable[..., ScriptedHost]
) -> None:
    """A forged newest one is not taken for ours, and what cannot be read is left out."""
    first = make_host()
    genuine = directives.issue(frozen=True)
    first.directives()
    client = plane.store.client
    forged = client.zrange(keys.DIRECTIVES, 0, 0)[0].replace(b'"sequence":', b'"sequence":9')
    client.zadd(keys.DIRECTIVES, {b"garbage": genuine.sequence + 1, forged: genuine.sequence + 2})

    assert genuine == directives.current()
    beat(first, genuine.sequence - 1)
    plane.settle()
    assert genuine in first.directives()
    assert plane.dispatcher.dead_reports() == []


def test_directive_needs_a_key_that_may_sign(plane: Any, keyring: Keyring, redis_url: str) -> None:
    """The aggregator's keys are not enough; nothing is recorded."""
    store = Store.at(redis_url, keyring.vault)
    bare = Keyring(keyring.folder, keyring.vault, keyring.box, [])

    with pytest.raises(KeyringError):
        Directives(store, RedisOrderBus(store.client), bare).issue(frozen=True)
    with pytest.raises(KeyringError, match="'nobody'"):
        Directives(store, RedisOrderBus(store.client), keyring).issue(signed_by="nobody")
    assert store.directives.last_sequence() == 0
    store.close()
