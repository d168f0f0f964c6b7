"""The audit log against whoever owns Redis, and against many writers at once."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from fleethand_dispatcher import keys
from fleethand_dispatcher.audit import AuditEntry, AuditEvent, AuditLog, digest_of, encode_entry
from fleethand_dispatcher.audit_checking import Head, Verification, check, drop_older, read_anchor, write_anchor
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.vault import Vault
from processes import Programs
from waiting import wait_until

WRITER = Path(__file__).parents[1] / "audit_writer.py"


@pytest.fixture
def store(redis_url: str, keyring: Keyring) -> Iterator[Store]:
    """The records of an empty server."""
    store = Store.at(redis_url, keyring.vault)
    yield store
    store.close()


@pytest.fixture
def log(store: Store) -> AuditLog:
    """A log of nine entries."""
    for number in range(1, 10):
        store.audit.append(AuditEvent(action=f"act-{number}", actor="ops"))
    return store.audit


def put(client: "redis.Redis[Any]", entries: list[tuple[bytes, bytes]]) -> None:
    """Write the whole log anew, as whoever owns the server can."""
    client.delete(keys.AUDIT)
    for number, (body, mark) in enumerate(entries, start=1):
        client.xadd(keys.AUDIT, {"body": body, "mark": mark}, id=f"{number}-0")


def pairs(log: AuditLog) -> list[tuple[bytes, bytes]]:
    """Return the body and mark of every entry."""
    return [(stored.body, stored.mark) for stored in log.records.read(1)]


def test_entry_says_who_did_what_to_which_hosts_when_and_from_where(store: Store) -> None:
    """All of it is readable; of many targets the first twenty are kept, and their number."""
    targets = [f"host-{number}" for number in range(30)]
    event = AuditEvent(action="ecs:RunCommand", actor="ops", targets=targets, digest=digest_of(b"id"), invoke_id="t-1")

    store.audit.append(event)

    (entry,) = store.audit.entries()
    assert (entry.sequence, entry.action, entry.actor, entry.outcome) == (1, "ecs:RunCommand", "ops", "allowed")
    assert (entry.targets, entry.target_count, entry.invoke_id) == (targets[:20], 30, "t-1")
    assert abs(entry.at_ms - store.now_ms()) < 5000
    assert f"pid {os.getpid()}" in entry.source


def test_log_that_nobody_touched_is_whole(log: AuditLog) -> None:
    """Nothing is wrong with it, and its head is its last entry."""
    found = check(log)

    last = pairs(log)[-1]
    assert (found.ok, found.count, found.first_bad, found.head) == (True, 9, None, Head(9, digest_of(last[0])))


def test_empty_log_is_whole(store: Store) -> None:
    """There is nothing in it that could be wrong."""
    assert check(store.audit) == Verification(count=0, head=None)


def changed(entries: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Say that somebody else did it."""
    entries[4] = (entries[4][0].replace(b'"ops"', b'"eve"'), entries[4][1])
    return entries


def removed(entries: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Take one out of the middle."""
    return entries[:4] + entries[5:]


def swapped(entries: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Let the sixth come before the fifth."""
    return [*entries[:4], entries[5], entries[4], *entries[6:]]


def doubled(entries: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Put the fourth in once more."""
    return [*entries[:4], entries[3], *entries[4:]]


def forged(entries: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Put one's own in, as well made as it can be without the vault's key."""
    body = entries[4][0].replace(b"act-5", b"harmless")
    return [*entries[:4], (body, Vault([os.urandom(32)]).mark("audit", digest_of(body)).encode()), *entries[5:]]


def unreadable(entries: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Write what is no JSON, nor text."""
    return [*entries[:4], (b"\xff\xfe", b"\xff"), *entries[5:]]


@pytest.mark.parametrize("tamper", [changed, removed, swapped, doubled, forged, unreadable])
def test_tampering_is_found_at_its_entry(
    log: AuditLog, redis_client: "redis.Redis[Any]", tamper: Callable[..., list[tuple[bytes, bytes]]]
) -> None:
    """Whoever owns Redis can change the log, and cannot hide that."""
    put(redis_client, tamper(pairs(log)))

    found = check(log)

    assert (found.ok, found.count, found.first_bad) == (False, 4, 5)
    assert found.reason


def test_removed_beginning_is_found(log: AuditLog, redis_client: "redis.Redis[Any]") -> None:
    """Only a cut that the log itself tells of may take the oldest entries away."""
    redis_client.xtrim(keys.AUDIT, minid="4-0", approximate=False)

    assert (check(log).ok, check(log).first_bad) == (False, 1)


def test_removed_end_is_found_by_whoever_has_noted_the_head(log: AuditLog, redis_client: "redis.Redis[Any]") -> None:
    """A chain alone cannot tell that it once was longer; an anchor can."""
    head = check(log).head
    put(redis_client, pairs(log)[:6])

    assert check(log).ok
    assert (check(log, anchor=head).ok, check(log, anchor=head).first_bad) == (False, 9)


def test_anchor_still_fits_when_the_log_has_grown(log: AuditLog) -> None:
    """What was its head is an entry among others now."""
    head = check(log).head
    log.append(AuditEvent(action="one more", actor="ops"))

    assert check(log, anchor=head).ok


def test_rewritten_log_is_found_by_its_anchor(log: AuditLog, store: Store, redis_client: "redis.Redis[Any]") -> None:
    """A log that began anew has other digests under the same numbers."""
    head = check(log).head
    redis_client.delete(keys.AUDIT)
    for _ in range(12):
        store.audit.append(AuditEvent(action="anew", actor="ops"))

    assert check(log).ok
    assert not check(log, anchor=head).ok


def test_removed_end_leaves_a_gap_when_the_log_goes_on(log: AuditLog, redis_client: "redis.Redis[Any]") -> None:
    """Numbers are not used twice, so what is gone is seen even without an anchor."""
    redis_client.xdel(keys.AUDIT, "8-0", "9-0")

    log.append(AuditEvent(action="after", actor="ops"))

    assert (check(log).ok, check(log).first_bad) == (False, 8)


def test_anchor_file_keeps_the_head(log: AuditLog, tmp_path: Path) -> None:
    """What was written is read again; no file is no anchor."""
    head = check(log).head
    assert head is not None
    assert read_anchor(tmp_path / "anchor") is None

    write_anchor(tmp_path / "anchor", head)

    assert read_anchor(tmp_path / "anchor") == head


def test_log_is_whole_after_old_entries_were_dropped(log: AuditLog, store: Store) -> None:
    """The cut is an entry itself, so that the rest can be checked without what is gone."""
    head, old = check(log).head, Head(3, digest_of(pairs(log)[2][0]))
    wait_until(lambda: store.now_ms() > list(log.entries())[-1].at_ms, 5, "the clock went on")

    assert drop_older(log, store.now_ms(), actor="retention") == 9
    log.append(AuditEvent(action="after", actor="ops"))

    assert [entry.action for entry in log.entries()] == ["audit.cut", "after"]
    assert (check(log).ok, check(log, anchor=head).ok, check(log, anchor=old).ok) == (True, True, True)


def test_nothing_is_dropped_past_an_entry_that_was_changed(
    log: AuditLog, store: Store, redis_client: "redis.Redis[Any]"
) -> None:
    """Retention must not hide what somebody did to the log."""
    put(redis_client, changed(pairs(log)))

    assert drop_older(log, store.now_ms() + 1000, actor="retention") == 4
    assert check(log).first_bad == 5


def test_cut_by_another_hand_is_no_cut(log: AuditLog, redis_client: "redis.Redis[Any]") -> None:
    """An entry that allows to drop older ones counts only if it is ours."""
    entries = pairs(log)
    cut = AuditEntry(
        sequence=10,
        at_ms=1,
        previous=digest_of(entries[8][0]),
        action="audit.cut",
        actor="eve",
        outcome="allowed",
        detail="6",
        digest=digest_of(entries[5][0]),
    )
    redis_client.xadd(keys.AUDIT, {"body": encode_entry(cut), "mark": entries[8][1]}, id="10-0")
    redis_client.xtrim(keys.AUDIT, minid="7-0", approximate=False)

    assert (check(log).ok, check(log).first_bad) == (False, 10)


def test_many_processes_append_at_once(store: Store, redis_url: str, keyring: Keyring, programs: Programs) -> None:
    """Every entry of every writer is there once, in its writer's order, in one whole chain."""
    writers = [
        programs.start(sys.executable, WRITER, redis_url, keyring.folder, f"w{number}", "50") for number in range(8)
    ]

    assert [writer.wait(90) for writer in writers] == [0] * 8

    told = [(entry.actor, entry.detail) for entry in store.audit.entries()]
    assert (check(store.audit).ok, len(told)) == (True, 400)
    for number in range(8):
        assert [detail for actor, detail in told if actor == f"w{number}"] == [str(n) for n in range(1, 51)]


def test_killed_writer_leaves_a_whole_log(store: Store, redis_url: str, keyring: Keyring, programs: Programs) -> None:
    """An entry is there or it is not: there is no half of one."""
    writers = [programs.start(sys.executable, WRITER, redis_url, keyring.folder, f"w{n}", "-1") for n in range(3)]
    wait_until(lambda: store.audit.records.end().sequence > 100, 60, "a hundred entries are written")
    for writer in writers:
        writer.kill()

    store.audit.append(AuditEvent(action="after", actor="ops"))

    assert check(store.audit).ok
