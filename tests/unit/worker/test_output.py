"""Head, tail and what was between them."""

from hypothesis import given
from hypothesis import strategies as st

from fleethand_worker.output import OutputBuffer, complete_length

pieces = st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=20).map(str.encode)), max_size=30)
limits_of = st.integers(min_value=0, max_value=80)


def fill(data: list[bytes], limit: int, head: int) -> tuple[OutputBuffer, bytes]:
    """Return a buffer that took *data*, and the same as UTF-8."""
    buffer = OutputBuffer(limit, head)
    taken = b"".join(buffer.feed(piece) for piece in data) + buffer.end()
    return buffer, taken


@given(pieces, limits_of, limits_of)
def test_output_accounts_for_every_byte_when_anything_is_fed(data: list[bytes], limit: int, head: int) -> None:
    """Kept and dropped make up the whole; the limit holds; nothing is cut inside a character."""
    buffer, taken = fill(data, limit, head)
    text, dropped = buffer.kept()
    kept = text.encode()
    assert taken == b"".join(data).decode(errors="replace").encode()
    assert len(kept) + dropped == len(taken) == buffer.total
    assert len(kept) <= limit
    assert dropped == 0 or len(kept) > limit - 8
    borders = range(len(text) + 1)
    assert any(taken.startswith(text[:at].encode()) and taken.endswith(text[at:].encode()) for at in borders)


@given(pieces)
def test_output_is_unchanged_when_it_is_small(data: list[bytes]) -> None:
    """What fits is kept as it is; bytes that are no UTF-8 become U+FFFD."""
    buffer, _ = fill(data, 100_000, 6000)
    assert buffer.kept() == (b"".join(data).decode(errors="replace"), 0)


@given(st.text(min_size=1, max_size=20), st.integers(min_value=0, max_value=80))
def test_complete_length_ends_before_a_cut_character_when_text_is_cut_anywhere(text: str, cut: int) -> None:
    """The whole characters of a beginning are what can be decoded of it."""
    data = text.encode(errors="replace")[:cut]
    assert data[: complete_length(data)].decode() == data.decode(errors="ignore")


def test_output_keeps_head_and_tail_when_it_is_long() -> None:
    """The first 6000 bytes and the last of the rest."""
    buffer, _ = fill([b"a" * 6000, b"b" * 1_000_000, b"c" * (24 * 1024 - 6000)], 24 * 1024, 6000)
    text, dropped = buffer.kept()
    assert text == "a" * 6000 + "c" * (24 * 1024 - 6000)
    assert dropped == 1_000_000
