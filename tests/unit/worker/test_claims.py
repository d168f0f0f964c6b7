"""Claims survive a power cut, a full file and a full disk."""

import os
from pathlib import Path

import pytest

from fleethand_worker import claims
from fleethand_worker.claims import Claims


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of claims is."""
    return tmp_path / "claims"


def test_claims_of_an_earlier_boot_are_told_after_a_power_cut(path: Path) -> None:
    """Only the next boot has lost anything; a restart in the same boot has not."""
    first = Claims(path, "boot-one", None)
    first.add("t-1")
    first.add("t-2")

    assert () == Claims(path, "boot-one", None).lost_with_power
    assert ("t-1", "t-2") == Claims(path, "boot-two", None).lost_with_power


def test_claims_go_on_in_the_same_file_after_a_restart(path: Path) -> None:
    """Lines of two boots stand side by side."""
    Claims(path, "boot-one", None).add("t-1")
    Claims(path, "boot-two", None).add("t-2")

    assert ("t-1", "t-2") == Claims(path, "boot-3xx", None).lost_with_power
    assert claims.BYTES == path.stat().st_size


def test_a_torn_line_is_no_claim(path: Path) -> None:
    """A power cut in the middle of a line: the claim was never confirmed."""
    Claims(path, "boot-one", None).add("t-1")
    with path.open("r+b") as file:
        file.seek(len("boot-one t-1\n"))
        file.write(b"boot-one t-2-without-its-en")

    torn = Claims(path, "boot-two", None)
    assert ("t-1",) == torn.lost_with_power
    torn.add("t-3")
    assert ("t-1", "t-3") == Claims(path, "boot-4xx", None).lost_with_power


def test_a_full_file_drops_what_has_settled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows only with what is younger than the kernel's own flush."""
    monkeypatch.setattr(claims, "BYTES", 4096)
    monkeypatch.setattr(claims, "SETTLED_S", -1)
    book = Claims(path, "boot-one", None)
    for number in range(2000):
        book.add(f"t-{number}")

    assert 4096 == path.stat().st_size
    assert Claims(path, "boot-two", None).lost_with_power[-1] == "t-1999"


def test_a_full_file_grows_while_its_claims_are_young(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No young claim is ever dropped."""
    monkeypatch.setattr(claims, "BYTES", 4096)
    book = Claims(path, "boot-one", None)
    names = [f"t-{number}" for number in range(1000)]
    for name in names:
        book.add(name)

    assert tuple(names) == Claims(path, "boot-two", None).lost_with_power


def test_a_full_disk_leaves_the_place_that_was_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropping settled lines needs no new space."""
    monkeypatch.setattr(claims, "BYTES", 4096)
    monkeypatch.setattr(claims, "SETTLED_S", -1)
    book = Claims(path, "boot-one", None)
    book.add("t-first")

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(claims.os, "write", full)
    for number in range(500):
        book.add(f"t-{number}")

    assert Claims(path, "boot-two", None).lost_with_power[-1] == "t-499"
