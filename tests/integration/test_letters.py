"""Letters and tokens in the records: written once by who may sign, sent from there by who may not, gone when over."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.aggregator import Aggregator
from fleethand_dispatcher.dispatcher import Dispatcher
from fleethand_dispatcher.keyring import Keyring, KeyringError, new_signing_key
from fleethand_dispatcher.letter_writer import Written
from fleethand_dispatcher.recording import Group, Recording
from scripted_host import ScriptedHost
from time_travel import make_offline
from waiting import wait_until

RUN: dict[str, Any] = {"command_content": "x", "instance_ids": ["host-1"]}


def bare(keyring: Keyring, folder: Path) -> Keyring:
    """Return the keys of an aggregator: the folder without `signing`."""
    folder.mkdir(mode=0o700)
    for name in ("vault.key", "box.key"):
        (folder / name).write_bytes((keyring.folder / name).read_bytes())
        (folder / name).chmod(0o600)
    return Keyring.load(folder)


def tokens(plane: Any, invoke_id: str) -> set[str]:
    """Return for whom tokens are kept."""
    return {name.decode() for name in plane.store.client.hkeys(keys.invocation(invoke_id).tokens)}


def test_aggregator_without_a_signing_key_sends_orders_and_stops_again(
    plane, host: Callable[..., ScriptedHost], keyring: Keyring, tmp_path: Path
) -> None:
    """Whoever takes it over cannot run a command; what it sends again is what was signed."""
    first = host()
    aggregator = Aggregator(plane.store, plane.settings, bare(keyring, tmp_path / "bare"))
    invocation = plane.dispatcher.run_command(**RUN)
    (order,) = first.orders()

    def again(take: Callable[[], list[Any]]) -> list[Any]:
        def look() -> list[Any]:
            aggregator.step(0)
            return take()

        return wait_until(look, 5, "the message again")

    assert [order] == again(first.orders)
    invocation.stop()
    (stop,) = first.stops()
    assert [stop] == again(first.stops)
    with Dispatcher(settings=plane.settings, keyring=bare(keyring, tmp_path / "other")) as dispatcher:
        with pytest.raises(KeyringError, match="signing key"):
            dispatcher.run_command(**RUN)
        assert [invocation.invoke_id] == [i.invoke_id for i in dispatcher.describe_invocations().items]


def test_order_for_a_host_that_is_away_is_written_when_it_is_given(
    plane, host: Callable[..., ScriptedHost], keyring: Keyring, tmp_path: Path
) -> None:
    """It goes out when the host is back, by an aggregator that could not have signed it."""
    first = host()
    make_offline(plane.store)
    invocation = plane.dispatcher.run_command(**RUN, deliver_within_s=3600)
    assert tokens(plane, invocation.invoke_id) == {"host-1"}
    aggregator = Aggregator(plane.store, plane.settings, bare(keyring, tmp_path / "bare"))

    first.beat(hello=True)
    aggregator.step(0)

    assert [invocation.invoke_id] == [order.invocation_id for order in first.orders()]


@pytest.mark.parametrize("end", ["Success", "Failed", "Terminated", "Cancelled"])
def test_tokens_of_a_row_are_gone_when_it_is_over(plane, host: Callable[..., ScriptedHost], end: str) -> None:
    """And only its own: the others still need theirs."""
    first, _ = host("host-1"), host("host-2")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1", "host-2"])
    invocation.stop(["host-1"])
    assert tokens(plane, invocation.invoke_id) == {"host-1", "host-2", "host-1!"}

    first.finish(invocation.invoke_id, InstanceStatus(end))
    plane.settle()

    assert tokens(plane, invocation.invoke_id) == {"host-2"}


def test_tokens_are_gone_when_the_end_was_only_presumed(make_plane, host: Callable[..., ScriptedHost]) -> None:
    """Nothing is sent to such a row any more; the host's own word still replaces the guess."""
    plane = make_plane(delivery_window_s=1)
    first = host()
    invocation = plane.dispatcher.run_command(**RUN)

    def presumed() -> bool:
        plane.settle()
        return invocation.counts == {"Aborted": 1}

    wait_until(presumed, 10, "the guess")
    assert tokens(plane, invocation.invoke_id) == set()
    first.finish(invocation.invoke_id)
    plane.settle()
    assert invocation.counts == {"Success": 1}


def test_withdrawn_order_leaves_no_token(plane, host: Callable[..., ScriptedHost]) -> None:
    """It was never sent and never will be."""
    host()
    make_offline(plane.store)
    invocation = plane.dispatcher.run_command(**RUN, deliver_within_s=3600)

    invocation.stop()

    assert tokens(plane, invocation.invoke_id) == set()


def test_stop_that_is_asked_for_again_is_signed_with_the_key_of_now(
    redis_client, make_plane, make_host: Callable[..., ScriptedHost], tmp_path: Path, monkeypatch: Any
) -> None:
    """After a key was revoked, its stops count no more; another call makes one that does."""
    plane = make_plane()
    first = make_host()
    first.beat()
    plane.settle()
    invocation = plane.dispatcher.run_command(**RUN)
    invocation.stop()
    before = plane.store.client.hget(keys.invocation(invocation.invoke_id).tokens, "host-1!")
    first.stops()
    added = new_signing_key("second", not_before_ms=0)
    keyring = plane.dispatcher._keyring
    monkeypatch.setattr(keyring, "signing_keys", (added,))
    first.trusted = keyring.public_keys()

    invocation.stop()

    assert [invocation.invoke_id] == [stop.invocation_id for stop in first.stops()]
    assert before != plane.store.client.hget(keys.invocation(invocation.invoke_id).tokens, "host-1!")


def test_stop_signs_for_nobody_but_instances(plane, host: Callable[..., ScriptedHost], redis_client: Any) -> None:
    """An id with a line break would be two names in the audience of a signature."""
    first, _ = host("host-1"), host("host-2")
    invocation = plane.dispatcher.run_command(**RUN)

    invocation.stop(["host-1", "x\nhost-2"])

    (raw,) = redis_client.lrange("fleethand:host:host-1:control", 0, -1)
    assert len(first.stops()) == 1
    assert "host-2" not in json.dumps(raw)
    token = plane.store.client.hkeys(keys.invocation(invocation.invoke_id).tokens)
    assert sorted(token) == [b"host-1", b"host-1!"]


def test_invocation_that_is_recorded_keeps_its_letter_and_tokens(plane, host: Callable[..., ScriptedHost]) -> None:
    """Two callers with one client token write two letters; only one is kept, and its tokens with it."""
    first = host()
    invocation = plane.dispatcher.run_command(**RUN)
    first.orders()
    head = plane.store.invocations.head(invocation.invoke_id)
    group = Group(instances=["host-1"], status=InstanceStatus.PENDING, row="{}", open=True, watch_at=1, event=None)

    times = {"created_at": 1, "deliver_before": 1}
    recording = Recording(b"{}", b"{}", Written(b"{}", {"host-1": "token"}), times, [group])
    assert not plane.store.invocations.create(invocation.invoke_id, recording)

    assert head == plane.store.invocations.head(invocation.invoke_id)
    first.beat(hello=True)
    plane.settle()
    assert [invocation.invoke_id] == [order.invocation_id for order in first.orders()]
