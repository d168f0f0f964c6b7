"""Counts how often a process goes to the server and waits; a pipeline is one time, whatever is in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.connection import AbstractConnection


@contextmanager
def counted_trips() -> Iterator[list[bytes]]:
    """Yield a list that has one item for each time that this process asks the server: the bytes that were sent."""
    trips: list[bytes] = []
    send = AbstractConnection.send_packed_command

    def counting(self: AbstractConnection, command: Any, check_health: bool = True) -> None:
        trips.append(command if isinstance(command, bytes) else b"".join(command))
        send(self, command, check_health)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbstractConnection, "send_packed_command", counting)
        yield trips
