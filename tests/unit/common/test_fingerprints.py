"""When two fingerprints are of one machine: no false alarm, and no copied disk unseen."""

from collections.abc import Sequence

import pytest

from fleethand_common.fingerprints import differences, same_machine, write

ITEMS: dict[str, Sequence[str]] = {
    "machine": ["id-1"],
    "board": ["uuid-1"],
    "cpu": ["model 7"],
    "mac": ["aa:01", "aa:02"],
    "disk": ["disk-1"],
    "host": ["web-1"],
}
USER = {name: values for name, values in ITEMS.items() if name != "board"}
"""What a worker can read that is not root."""


def changed(items: dict[str, Sequence[str]], **values: Sequence[str]) -> str:
    """Return the fingerprint of a machine on which something is otherwise; nothing is an empty list."""
    return write({**items, **values})


@pytest.mark.parametrize(
    ("what", "now"),
    [
        ("nothing", changed(ITEMS)),
        ("a new disk", changed(ITEMS, disk=["disk-2"])),
        ("new network cards and name", changed(ITEMS, mac=["bb:01"], host=["web-2"])),
        ("a new system", changed(ITEMS, machine=["id-2"], disk=["disk-2"], host=["x"])),
        ("everything but the board", changed(ITEMS, machine=["2"], cpu=["2"], mac=["2"], disk=["2"], host=["2"])),
        ("a new board, the card was kept", changed(ITEMS, board=["uuid-2"], mac=["aa:02", "bb:01"])),
        ("an order of cards", changed(ITEMS, mac=["aa:02", "aa:01"])),
        ("nothing readable but the machine id", changed({}, machine=["id-1"])),
        ("no hardware number any more, as dmidecode is gone or the user is another", write(USER)),
    ],
)
def test_machine_stays_the_same_when_parts_of_it_change(what: str, now: str) -> None:
    """A kernel, a disk, a network, a name or a tool that is gone makes no other machine."""
    assert same_machine(write(ITEMS), now), what


@pytest.mark.parametrize(
    ("what", "before", "now"),
    [
        ("a copied disk", write(ITEMS), changed(ITEMS, board=["uuid-2"], mac=["bb:01"])),
        ("a copied disk without cards", write(ITEMS), changed(ITEMS, board=["uuid-2"], mac=[])),
        ("another system, read without root", write(USER), changed(USER, machine=["id-2"])),
        ("three of four differ", write(USER), changed(USER, cpu=["2"], mac=["2"], disk=["2"])),
    ],
)
def test_machine_is_another_one_when_hardware_or_system_says_so(what: str, before: str, now: str) -> None:
    """A copy of a disk, and a state folder that was carried away, are noticed."""
    assert not same_machine(before, now), what


@pytest.mark.parametrize("share", [2, 3, 4])
def test_machine_without_a_known_board_needs_40_percent_of_the_rest(share: int) -> None:
    """Two of four are enough, one is not (host-agent.md, section 10)."""
    names = ("cpu", "mac", "disk", "host")
    now = changed(USER, **{name: ["other"] for name in names[share:]})

    assert same_machine(write(USER), now)


@pytest.mark.parametrize("unreadable", ["", "2 board=aa", "1"])
def test_fingerprint_that_says_nothing_is_nobodys_enemy(unreadable: str) -> None:
    """One of another version, or an empty one, is no reason to refuse a start."""
    assert same_machine(unreadable, write(ITEMS))
    assert same_machine(write(ITEMS), unreadable)


def test_fingerprint_shows_no_value() -> None:
    """Serial numbers and addresses are hashed."""
    text = write(ITEMS)

    assert not [value for values in ITEMS.values() for value in values if value in text]


def test_differences_name_what_both_know_and_share_nothing_of() -> None:
    """They stand in the message that refuses a start."""
    assert differences(write(ITEMS), changed(ITEMS, board=["x"], mac=["aa:02", "y"], cpu=[])) == ["board"]
