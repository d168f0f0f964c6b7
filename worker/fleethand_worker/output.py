"""The output that is kept of one execution: its head, its tail, and how much was between; always whole characters."""

import codecs

from fleethand_common import limits

_CONTINUATION = 0b1000_0000
_CONTINUATION_MASK = 0b1100_0000
_LEADS = (0b1100_0000, 0b1110_0000, 0b1111_0000)
"""A first byte from one of these on begins a character of 2, 3 or 4 bytes."""
_LONGEST_CHARACTER = 4


def complete_length(data: bytes | bytearray) -> int:
    """Return how many bytes of *data*, which is UTF-8 but may end inside a character, are whole characters."""
    for back in range(1, min(_LONGEST_CHARACTER, len(data)) + 1):
        byte = data[-back]
        if byte & _CONTINUATION_MASK == _CONTINUATION:
            continue
        needed = 1 + sum(byte >= lead for lead in _LEADS)
        return len(data) if needed <= back else len(data) - back
    return len(data)


def _first_character(data: bytes | bytearray) -> int:
    """Return where the first whole character of *data* begins."""
    position = 0
    while position < len(data) and data[position] & _CONTINUATION_MASK == _CONTINUATION:
        position += 1
    return position


class OutputBuffer:
    """Takes any number of bytes, keeps at most `limit` of them.

    Bytes that are not UTF-8 become U+FFFD as they come in; everything is counted after that, so that what is
    reported never exceeds the limit.
    """

    def __init__(self, limit: int, head_limit: int = limits.OUTPUT_HEAD_BYTES) -> None:
        self.limit = limit
        self.total = 0
        self._head_limit = min(head_limit, limit)
        self._tail_limit = limit - self._head_limit
        self._head = bytearray()
        self._tail = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = False

    def feed(self, data: bytes) -> bytes:
        """Take output as it came from the pipe; return it as the UTF-8 that is counted and kept."""
        if self._pending or not data.isascii():
            data = self._decoder.decode(data).encode()
            self._pending = bool(self._decoder.getstate()[0])
        self._keep(data)
        return data

    def end(self) -> bytes:
        """Take the end of the output; return what was still incomplete, like `feed`."""
        data = self._decoder.decode(b"", final=True).encode()
        self._pending = False
        self._keep(data)
        return data

    def kept(self) -> tuple[str, int]:
        """Return head and tail as one text, and the number of bytes dropped between them."""
        if self.total <= self.limit:
            return (self._head + self._tail[: self.total]).decode(), 0
        head = self._head[: complete_length(self._head)]
        tail = self._tail[len(self._tail) - self._tail_limit :]
        tail = tail[_first_character(tail) :]
        return (head + tail).decode(), self.total - len(head) - len(tail)

    def _keep(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data or not self._tail_limit:
            return
        self._tail += data[-self._tail_limit :]
        # Trimming at every call would move the whole tail for each few bytes.
        if len(self._tail) > 2 * self._tail_limit:
            del self._tail[: -self._tail_limit]
