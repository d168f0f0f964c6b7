"""A host follows directives: frozen, it starts nothing; it trusts the keys that it is told, and no others."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import redis

from fleethand_common.messages import Accepted, Finished, Heartbeat, Refusal, Started
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.keyring import Keyring, new_signing_key
from processes import Program
from unit.worker.control_line import ControlLine, now_ms
from waiting import wait_until

StartWorker = Callable[..., Program]


@pytest.fixture
def own_keyring(tmp_path: Path) -> Keyring:
    """The keys of this test's own control plane, which it may change."""
    return Keyring.create(tmp_path / "control" / "keys")


@pytest.fixture
def keyring(own_keyring: Keyring) -> Keyring:
    """Have the fixtures of all tests use it."""
    return own_keyring


@pytest.fixture
def line(redis_client: "redis.Redis[str]", keyring: Keyring) -> ControlLine:
    """Return the line to host-1."""
    return ControlLine(redis_client, keyring)


def wait_for_beat(line: ControlLine, sequence: int, *, frozen: bool) -> Heartbeat:
    """Wait until the host says that it follows a directive."""

    def told() -> list[Heartbeat]:
        beats = [report for report in line.read() if isinstance(report, Heartbeat)]
        return [beat for beat in beats if (beat.directive_sequence, beat.frozen) == (sequence, frozen)]

    return wait_until(told, 10, f"a heartbeat with directive {sequence}")[-1]


def test_frozen_host_starts_nothing_and_goes_on_when_it_is_unfrozen(
    worker_process: StartWorker, line: ControlLine
) -> None:
    """What runs goes on, a stop still works, what comes waits; it says so at once, out of turn."""
    worker_process(heartbeat_interval_s=60)
    line.wait_for_hello()
    line.order("t-runs", "sleep 1; echo ran")
    line.order("t-hangs", "sleep 60")
    line.wait_for(Started, "t-hangs")

    line.directive(1, frozen=True, frozen_reason="break-in")
    wait_for_beat(line, 1, frozen=True)
    line.order("t-waits", "echo waited")
    line.order("t-withdrawn", "echo never")
    line.wait_for(Accepted, "t-waits")
    line.wait_for(Accepted, "t-withdrawn")
    line.stop("t-withdrawn")
    line.stop("t-hangs")

    assert line.outcome("t-withdrawn").status is InstanceStatus.CANCELLED
    assert line.outcome("t-hangs").status is InstanceStatus.TERMINATED
    assert line.outcome("t-runs").output == "ran\n"
    assert line.of(Started, "t-waits") == line.of(Finished, "t-waits") == []
    line.directive(2, frozen=False)
    assert line.outcome("t-waits").output == "waited\n"
    wait_for_beat(line, 2, frozen=False)


def test_order_whose_time_ends_while_the_fleet_is_frozen_is_refused(
    worker_process: StartWorker, line: ControlLine
) -> None:
    """As soon as it is too late, with a text that says why."""
    worker_process(heartbeat_interval_s=60)
    line.wait_for_hello()
    line.directive(1, frozen=True, frozen_reason="break-in")
    wait_for_beat(line, 1, frozen=True)

    line.order("t-late", "echo never", deliver_before_ms=now_ms() + 1_000)

    late = line.outcome("t-late", 5)
    assert (late.status, late.error_code) == (InstanceStatus.ABORTED, "DeliveryTimeout")
    assert late.error_info == "The fleet was frozen until it was too late to start the command. break-in"
    line.directive(2, frozen=False)
    line.order("t-next", "echo next")
    assert line.outcome("t-next").output == "next\n"


def test_frozen_host_is_still_frozen_after_a_restart(worker_process: StartWorker, line: ControlLine) -> None:
    """Neither what waited nor what comes is started, and no older directive undoes it."""
    worker = worker_process()
    line.wait_for_hello()
    unfreeze = line.directive(1, frozen=False)
    line.directive(2, frozen=True)
    wait_for_beat(line, 2, frozen=True)
    line.order("t-waits", "echo waited")
    line.wait_for(Accepted, "t-waits")
    worker.kill()
    worker_process()
    assert (beat := line.wait_for_hello(count=2)).frozen
    assert beat.directive_sequence == 2

    line.client.lpush(line.control_queue, unfreeze)

    line.wait_refused(Refusal.SEEN_BEFORE)
    line.order("t-later", "echo later")
    line.wait_for(Accepted, "t-later")
    assert line.of(Started, "t-waits") == line.of(Started, "t-later") == []
    line.directive(3, frozen=False)
    assert line.outcome("t-waits").output == "waited\n"
    assert line.outcome("t-later").output == "later\n"


def test_new_key_signs_and_a_revoked_one_does_not_any_more(
    worker_process: StartWorker, line: ControlLine, keyring: Keyring
) -> None:
    """Rotation without a gap: the old key introduces the new one, the new one revokes the old one, at once."""
    worker_process()
    line.wait_for_hello()
    old = keyring.signing_keys[0]
    before = line.envelope(line.order("t-old", "echo old"))
    assert line.outcome("t-old").output == "old\n"

    keyring.add(new_signing_key("second", not_before_ms=now_ms() - 1))
    line.order("t-early", "echo early")  # signed by a key that the host was not told of
    line.wait_refused(Refusal.UNTRUSTED_KEY, "t-early")
    line.directive(1, signed_by="first")
    wait_for_beat(line, 1, frozen=False)
    line.order("t-new", "echo new")
    assert line.outcome("t-new").output == "new\n"

    keyring.add(msgspec.structs.replace(old, key=msgspec.structs.replace(old.key, revoked_at_ms=now_ms())))
    line.directive(2, signed_by="second")
    wait_for_beat(line, 2, frozen=False)
    (keyring.folder / "signing" / "second.json").unlink()  # what a thief has: the old key alone
    keyring.add(old)
    line.order("t-stolen", "echo stolen")
    line.client.lpush(line.orders_queue, before)
    line.directive(3)
    assert line.wait_refused(Refusal.UNTRUSTED_KEY, "t-stolen").detail == "signed with the revoked key first"
    line.wait_refused(Refusal.UNTRUSTED_KEY)
    assert line.of(Started, "t-stolen") == []


def test_host_that_was_away_for_two_rotations_catches_up_in_order(
    worker_process: StartWorker, line: ControlLine, keyring: Keyring
) -> None:
    """The newest directive alone says nothing to it; the chain does."""
    worker = worker_process()
    line.wait_for_hello()
    worker.kill()
    chain = []
    for sequence, name, signer in ((1, "second", "first"), (2, "third", "second")):
        keyring.add(new_signing_key(name, not_before_ms=now_ms() + sequence - 10))
        chain.append(line.directive(sequence, signed_by=signer))
    line.client.delete(line.control_queue)
    worker_process()
    line.wait_for_hello(count=2)

    line.client.lpush(line.control_queue, chain[1])
    line.wait_refused(Refusal.UNTRUSTED_KEY)
    line.client.lpush(line.control_queue, *chain)
    wait_for_beat(line, 2, frozen=False)

    line.order("t-third", "echo third")
    assert line.outcome("t-third").output == "third\n"


def test_forged_directive_changes_nothing(
    worker_process: StartWorker, line: ControlLine, keyring: Keyring, tmp_path: Path
) -> None:
    """Signed by a stranger who names himself; genuine and altered; as a stop."""
    worker_process()
    line.wait_for_hello()
    stranger = ControlLine(line.client, Keyring.create(tmp_path / "stranger"))
    stranger.directive(10**14, frozen=True)
    line.wait_refused(Refusal.UNTRUSTED_KEY)
    genuine = line.directive(1, frozen=True)
    wait_for_beat(line, 1, frozen=True)
    line.directive(2)
    wait_for_beat(line, 2, frozen=False)

    line.client.lpush(line.control_queue, genuine)
    line.client.lpush(line.control_queue, genuine.replace("fleethand.directive", "fleethand.stop"))

    line.wait_refused(Refusal.SEEN_BEFORE)
    line.wait_refused(Refusal.ALTERED)
    line.order("t-runs", "echo runs")
    assert line.outcome("t-runs").output == "runs\n"
