"""Sealing and marking of what is at rest in Redis."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleethand_dispatcher.vault import KEY_BYTES, Vault, VaultError

KEY, NEXT_KEY = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
VAULT = Vault([KEY])


@given(data=st.binary(max_size=200))
def test_record_opens_as_what_it_was_sealed_as(data: bytes) -> None:
    """And as nothing else: neither another name, nor another kind, nor by another key."""
    for sealed in (VAULT.seal("kind", "name", data), VAULT.seal_alike("kind", "name", data)):
        assert data == VAULT.open("kind", "name", sealed)
        for kind, name in (("kind", "other"), ("other", "name"), ("kin", "dname")):
            with pytest.raises(VaultError):
                VAULT.open(kind, name, sealed)
        with pytest.raises(VaultError):
            Vault([NEXT_KEY]).open("kind", "name", sealed)
    assert data == VAULT.open_text("kind", "name", VAULT.seal_text("kind", "name", data))


def test_altered_record_does_not_open() -> None:
    """Every byte of it counts, and so does its length."""
    sealed = VAULT.seal("kind", "name", b"data")
    for at in range(len(sealed)):
        altered = bytearray(sealed)
        altered[at] ^= 1
        with pytest.raises(VaultError):
            VAULT.open("kind", "name", bytes(altered))
        with pytest.raises(VaultError):
            VAULT.open("kind", "name", sealed[:at])


def test_equal_data_are_sealed_alike_only_where_that_is_asked_for() -> None:
    """Under one name; what is equal under two names cannot be told."""
    assert VAULT.seal("kind", "name", b"x") != VAULT.seal("kind", "name", b"x")
    assert VAULT.seal_alike("kind", "name", b"x") == VAULT.seal_alike("kind", "name", b"x")
    assert VAULT.seal_alike("kind", "name", b"x") != VAULT.seal_alike("kind", "other", b"x")
    assert VAULT.seal_alike("kind", "name", b"x") != VAULT.seal_alike("kind", "name", b"y")


def test_what_an_older_key_sealed_and_marked_is_still_taken() -> None:
    """A key can be replaced; the new one comes first."""
    both = Vault([NEXT_KEY, KEY])

    assert b"data" == both.open("kind", "name", VAULT.seal("kind", "name", b"data"))
    assert both.is_mark(VAULT.mark("a", 1), "a", 1)
    assert not VAULT.is_mark(both.mark("a", 1), "a", 1)


@given(parts=st.lists(st.text(max_size=5), max_size=4), others=st.lists(st.text(max_size=5), max_size=4))
def test_mark_stands_for_its_parts_alone(parts: list[str], others: list[str]) -> None:
    """Nothing can be moved from one part into the next, whatever is in them."""
    assert (parts == others) == VAULT.is_mark(VAULT.mark(*parts), *others)
    assert VAULT.mark("a\0b") != VAULT.mark("a", "b")
    assert VAULT.mark("1:ab") != VAULT.mark("a", "b")
