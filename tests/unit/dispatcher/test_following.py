"""Tests of what a follower shows of an output whose beginning went by live."""

from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.limits import OUTPUT_HEAD_BYTES
from fleethand_dispatcher.following import Shown, rest


@given(whole=st.text(max_size=60), shown=st.integers(0, 60))
def test_rest_completes_what_was_shown_when_nothing_was_dropped(whole: str, shown: int) -> None:
    """Shown beginning and rest are the whole, wherever the border between characters is."""
    beginning = whole[:shown]

    pieces = list(rest(whole, len(beginning.encode()), 0))

    assert whole == beginning + "".join(data for data, _ in pieces)
    assert all(skipped == 0 for _, skipped in pieces)


@given(total=st.integers(OUTPUT_HEAD_BYTES, 30_000), tail=st.integers(1, 8000), shown=st.integers(0, 30_000))
def test_rest_counts_the_gap_when_bytes_were_dropped(total: int, tail: int, shown: int) -> None:
    """Every byte is shown, skipped and counted, or was shown before; none twice."""
    total, shown = total + tail, min(shown, total + tail)
    stream = "".join(chr(97 + number % 26) for number in range(total))
    dropped = total - OUTPUT_HEAD_BYTES - tail
    kept = stream[:OUTPUT_HEAD_BYTES] + stream[total - tail :]

    position = shown
    for data, skipped in rest(kept, shown, dropped):
        position += skipped
        assert stream[position : position + len(data)] == data
        position += len(data)

    assert total == position


def shown(*pieces: str) -> Shown:
    """Return what a follower knows after it has shown pieces."""
    known = Shown()
    for piece in pieces:
        known.add(piece)
    return known


@given(pieces=st.lists(st.text(max_size=4000), max_size=8), more=st.text(max_size=50))
def test_live_pieces_are_the_beginning_of_the_output_that_they_were_cut_from(pieces: list[str], more: str) -> None:
    """However they were cut, and wherever the border of the kept head is."""
    whole = "".join(pieces)

    known = shown(*pieces)

    assert len(whole.encode()) == known.length
    assert known.is_beginning_of(whole + more, 0)
    head = whole.encode()[: OUTPUT_HEAD_BYTES - 2].decode(errors="ignore")
    assert known.is_beginning_of((head if len(head) < len(whole) else whole + more) + "the tail", 7)


@given(before=st.text(max_size=3000), lost=st.text(min_size=1, max_size=5), after=st.text(max_size=3000))
def test_lost_piece_is_noticed(before: str, lost: str, after: str) -> None:
    """What was shown is then no beginning, unless what followed is what was lost."""
    is_same = (before + lost + after).startswith(before + after)

    assert is_same == shown(before, after).is_beginning_of(before + lost + after, 0)
