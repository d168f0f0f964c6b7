"""The records of directives: all that were ever issued, with their tokens, by sequence.

They are signed and hold no secret, so they are neither sealed nor marked; what is read here is still to be checked.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from fleethand_dispatcher import keys, scripts

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)


class IssuedDirective(msgspec.Struct, frozen=True, kw_only=True):
    """A directive as it goes to hosts; `letter` is the JSON of a `Letter`."""

    sequence: int
    letter: str
    token: str


_decode = msgspec.json.Decoder(IssuedDirective).decode


class DirectiveRecords:
    """Reads and appends; what is there never changes."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._chain = scripts.load(client, "chain")

    def append(self, issued: IssuedDirective) -> bool:
        """Keep one more; False if one with this or a higher sequence is there."""
        return bool(self._chain(keys=[keys.DIRECTIVES], args=[issued.sequence, msgspec.json.encode(issued)]))

    def after(self, sequence: int) -> list[IssuedDirective]:
        """Read those with a higher sequence, in order; what cannot be read is left out."""
        return self.decoded(cast("list[bytes]", self._client.zrangebyscore(keys.DIRECTIVES, f"({sequence}", "+inf")))

    def ask_all(self, pipe: "redis.Redis") -> None:
        """Put the question for all of them into a pipeline; `decoded` reads the answer."""
        pipe.zrangebyscore(keys.DIRECTIVES, "(0", "+inf")

    def decoded(self, answer: Sequence[bytes]) -> list[IssuedDirective]:
        """Return what the server answered; what cannot be read is left out."""
        found = []
        for raw in answer:
            try:
                found.append(_decode(raw))
            except msgspec.DecodeError:
                logger.error("left out a directive that cannot be read: the record was altered in Redis")
        return found

    def last_sequence(self) -> int:
        """Read the highest sequence, 0 if there was no directive yet."""
        found = cast("list[tuple[bytes, float]]", self._client.zrevrange(keys.DIRECTIVES, 0, 0, withscores=True))
        return int(found[0][1]) if found else 0
