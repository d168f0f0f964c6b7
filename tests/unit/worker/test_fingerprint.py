"""What is read of a machine, from a file system that a test wrote."""

from pathlib import Path

import pytest

from fleethand_common.fingerprints import differences, same_machine
from fleethand_worker import fingerprint

UUID = "4c4c4544-0042-3510-8054-b4c04f4d3132"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with one card, a bridge and a number on its board."""
    put(tmp_path, "etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n")
    put(tmp_path, "sys/class/dmi/id/product_uuid", UUID)
    put(tmp_path, "sys/class/net/eth0/address", "02:fc:00:00:00:01")
    put(tmp_path, "sys/class/net/eth0/device/vendor", "0x1af4")
    put(tmp_path, "sys/class/net/docker0/address", "02:42:00:00:00:01")
    put(tmp_path, "proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\ncpu MHz\t: 2100.0\n")
    return tmp_path


def put(root: Path, name: str, text: str) -> None:
    """Write one file of the machine."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_fingerprint_is_the_same_when_nothing_changed(root: Path) -> None:
    """What it is made of does not change by itself."""
    assert fingerprint.take(root) == fingerprint.take(root)
    assert [part.partition("=")[0] for part in fingerprint.take(root).split()[1:]] == [
        "board",
        "cpu",
        "host",
        "mac",
        "machine",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\ncpu MHz\t: 800.0\nbugs: new\n"),
        ("sys/class/net/veth7/address", "aa:bb:cc:dd:ee:ff"),
        ("sys/class/net/docker0/address", "02:42:99:00:00:01"),
    ],
)
def test_fingerprint_does_not_change_with_what_comes_and_goes(root: Path, name: str, text: str) -> None:
    """Clocks, kernels, bridges and containers' cards are no part of it."""
    before = fingerprint.take(root)

    put(root, name, text)

    assert fingerprint.take(root) == before


@pytest.mark.parametrize(
    "filler", ["", "00000000-0000-0000-0000-000000000000", "To be filled by O.E.M.", "Default string"]
)
def test_board_without_a_number_is_unknown(root: Path, filler: str) -> None:
    """Many boards have such a text instead of a number; they are not all one machine."""
    put(root, "sys/class/dmi/id/product_uuid", filler)

    assert "board=" not in fingerprint.take(root)


def test_copied_disk_is_noticed(root: Path) -> None:
    """The same machine id, another board and another card."""
    before = fingerprint.take(root)

    put(root, "sys/class/dmi/id/product_uuid", UUID.replace("4", "5"))
    put(root, "sys/class/net/eth0/address", "02:fc:00:00:00:02")
    now = fingerprint.take(root)

    assert not same_machine(before, now)
    assert differences(before, now) == ["board", "mac"]


def test_machine_id_is_the_boards_number_when_the_system_has_none(root: Path) -> None:
    """It has at most 36 characters (API 1.5)."""
    (root / "etc/machine-id").unlink()

    assert fingerprint.machine_id(root) == UUID


def test_machine_that_tells_nothing_has_an_empty_machine_id(tmp_path: Path) -> None:
    """A container may have none of it; that is no error."""
    assert fingerprint.machine_id(tmp_path) == ""
