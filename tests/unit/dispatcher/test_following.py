"""Tests of what a follower shows of an output whose beginning went by live."""

from hypothesis import given
from hypothesis import strategies as st

from fleethand_common.limits import OUTPUT_HEAD_BYTES
from fleethand_dispatcher.following import rest


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
