"""Executions on disk: claimed once, ended once, forgotten late."""

import os
from pathlib import Path

import pytest

from fleethand_common.clock import Clock
from fleethand_common.messages import Finished
from fleethand_common.states import InstanceStatus
from fleethand_worker.janitor import MARGIN_MS, Janitor
from fleethand_worker.journal import Entry, Journal, Journaled, State
from fleethand_worker.state_dir import StateDir, StateDirError
from unit.worker.control_line import make_order, now_ms


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return an empty journal."""
    return Journal(tmp_path, "boot")


def claim(journal: Journal, invocation_id: str = "t-1") -> Entry:
    """Claim an order."""
    order = make_order(invocation_id, "echo")
    return journal.claim(Journaled(order=order, attempt=1, task_id="x", accepted_at_ms=1, boot_id="boot"))


def ended(invocation_id: str = "t-1", output: str = "") -> Finished:
    """Return an outcome."""
    return Finished(
        instance_id="i", invocation_id=invocation_id, status=InstanceStatus.SUCCESS, finished_at_ms=1, output=output
    )


def test_claim_succeeds_once_when_an_order_comes_twice(journal: Journal) -> None:
    """The second claim fails and leaves the first as it is."""
    entry = claim(journal)
    with pytest.raises(FileExistsError):
        claim(journal)
    journaled = entry.journaled()
    assert journaled is not None
    assert journaled.order.content == "echo"
    assert entry.state() is entry.result() is None
    assert entry.path.stat().st_mode & 0o777 == 0o700
    assert journal.executions == 1


def test_count_goes_on_when_the_journal_is_opened_again(journal: Journal, tmp_path: Path) -> None:
    """Executions are counted from the state directory's beginning."""
    claim(journal)
    claim(journal, "t-2")
    journal.write_count()
    assert Journal(tmp_path, "boot").executions == 2


@pytest.mark.parametrize("invocation_id", ["", "..", "../x", "a/b", ".hidden", "x" * 65, "a\0b"])
def test_claim_fails_when_the_id_is_no_name(journal: Journal, invocation_id: str) -> None:
    """An id from the wire never leads out of the journal's folder."""
    with pytest.raises(OSError, match="cannot use"):
        claim(journal, invocation_id)
    assert journal.find(invocation_id) is None


def test_state_and_result_are_read_back_when_they_were_written(journal: Journal) -> None:
    """State first, then result, each whole."""
    entry = claim(journal)
    state = State(pid=7, start_time="1", boot_id="b", started_at_ms=2)
    entry.write_state(state)
    assert entry.state() == state
    entry.write_result(ended(output="ä" * 10_000))
    assert entry.result() == ended(output="ä" * 10_000)


def test_lock_is_refused_when_a_supervisor_holds_it(journal: Journal) -> None:
    """It ends with the last descriptor, whoever has that."""
    entry = claim(journal)
    lock = entry.lock()
    assert lock is not None
    assert entry.lock() is None
    os.close(lock)
    again = entry.lock()
    assert again is not None
    os.close(again)


def test_burial_keeps_a_later_order_out_when_a_stop_came_first(journal: Journal) -> None:
    """A result without an order claims the place."""
    journal.bury(ended())
    with pytest.raises(FileExistsError):
        claim(journal)


def test_janitor_forgets_only_what_was_reported_and_cannot_come_again(journal: Journal) -> None:
    """Both the deadline and the report must be long past."""
    clock = Clock()
    clock.raise_floor(now_ms())
    written: list[int] = []
    janitor = Janitor(journal, clock, lambda: written.append(clock.floor_ms))
    entries = [claim(journal, name) for name in ("t-old", "t-unreported", "t-young", "t-fresh")]
    old, _, young, fresh = entries
    for entry in entries:
        entry.write_result(ended())
        janitor.keep(entry, now_ms() if entry is young else now_ms() - MARGIN_MS - 1000)
    for entry in (old, young, fresh):
        entry.mark("reported")
    for entry in (old, young):
        os.utime(entry.path / "reported", (1, 1))
    assert janitor.clean() == 1
    assert [entry.path.exists() for entry in entries] == [False, True, True, True]
    assert written == [clock.floor_ms]


def test_janitor_forgets_nothing_by_a_clock_that_nothing_signed_proves(journal: Journal) -> None:
    """A server can tell any time; only a signed message tells that an order's time is really over."""
    clock = Clock()
    janitor = Janitor(journal, clock, lambda: None)
    entry = claim(journal, "t-old")
    entry.write_result(ended())
    janitor.keep(entry, now_ms() - MARGIN_MS - 1000)
    entry.mark("reported")
    os.utime(entry.path / "reported", (1, 1))
    clock.set(now_ms() + 10**9)
    assert janitor.clean() == 0
    clock.raise_floor(now_ms())
    assert janitor.clean() == 1


def test_janitor_forgets_nothing_when_the_floor_cannot_be_written(journal: Journal) -> None:
    """After a restart an older floor would let the order in again."""

    def refuse() -> None:
        raise OSError

    clock = Clock()
    clock.raise_floor(now_ms())
    janitor = Janitor(journal, clock, refuse)
    entry = claim(journal, "t-old")
    entry.write_result(ended())
    janitor.keep(entry, now_ms() - MARGIN_MS - 1000)
    entry.mark("reported")
    os.utime(entry.path / "reported", (1, 1))
    assert janitor.clean() == 0
    assert entry.path.exists()


def test_state_directory_is_private_when_it_is_made(tmp_path: Path) -> None:
    """Nobody else reads it, nobody else holds it, and it is no link."""
    held = StateDir(tmp_path / "a" / "b")
    assert held.path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StateDirError, match="another worker"):
        StateDir(tmp_path / "a" / "b")
    held.close()
    StateDir(tmp_path / "a" / "b").close()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(StateDirError, match="not a folder"):
        StateDir(tmp_path / "link")


def test_a_claim_without_its_folder_is_lost_after_a_power_cut(tmp_path: Path) -> None:
    """It is told once, and never again taken for new; a torn result counts as none."""
    first = Journal(tmp_path, "boot-one")
    journal_lost, kept, torn = claim(first, "t-1"), claim(first, "t-2"), claim(first, "t-3")
    first.remove(journal_lost)
    kept.write_result(ended("t-2"))
    (torn.path / "result.json").write_bytes(b"")

    second = Journal(tmp_path, "boot-two")

    assert ["t-1"] == list(second.lost_with_power())
    assert kept.has_result()
    assert not torn.has_result()
    assert torn.journaled() is not None
