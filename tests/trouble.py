"""A server that goes wrong in the middle of a call: at the n-th thing that is sent to it, or that it answers."""

from typing import Any

import pytest
import redis

TROUBLES = ("sending", "answer", "full", "denied")
"""The connection is cut before or after something was done, or that one thing is refused: no memory, no rights."""
_ILL = {"full": ("CONFIG SET", "maxmemory", "1"), "denied": ("ACL SETUSER", "default", "-@write")}
_WELL = {"full": ("CONFIG SET", "maxmemory", "0"), "denied": ("ACL SETUSER", "default", "+@all")}


class Trouble:
    """Makes trouble once, at the n-th step; for every connection that this process makes.

    Args:
        server: needed for what the server itself must do, so not to cut connections.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: "redis.Redis[Any] | None" = None) -> None:
        self._kind, self._left = "", 0
        self._server = server
        self._is_ill = self._is_treating = False
        connection = redis.connection.Connection
        self._send, self._read = connection.send_packed_command, connection.read_response
        sent, answered = self._sent, self._answered  # a bound method would not be bound to the connection

        def send(connection: Any, *arguments: Any, **options: Any) -> Any:
            return sent(connection, *arguments, **options)

        def read(connection: Any, *arguments: Any, **options: Any) -> Any:
            return answered(connection, *arguments, **options)

        monkeypatch.setattr(connection, "send_packed_command", send)
        monkeypatch.setattr(connection, "read_response", read)

    def arm(self, kind: str, number: int) -> None:
        """Make trouble of a *kind* at the *number*-th time from now."""
        self._kind, self._left = kind, number

    def disarm(self) -> bool:
        """Make no more trouble; tells whether there was none yet."""
        self._heal()
        unused, self._left, self._kind = self._left > 0, 0, ""
        return unused

    def _sent(self, connection: Any, *arguments: Any, **options: Any) -> Any:
        if not self._is_treating:
            self._heal()
            if self._kind in _ILL and self._is_due():
                self._is_ill = True
                self._treat(_ILL[self._kind])
            self._cut(connection, "sending")
        return self._send(connection, *arguments, **options)

    def _answered(self, connection: Any, *arguments: Any, **options: Any) -> Any:
        answer = self._read(connection, *arguments, **options)
        if not self._is_treating:
            self._cut(connection, "answer")
        return answer

    def _cut(self, connection: Any, kind: str) -> None:
        if self._kind == kind and self._is_due():
            connection.disconnect()
            raise redis.ConnectionError("cut by the test")

    def _is_due(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _heal(self) -> None:
        if self._is_ill:
            self._is_ill = False
            self._treat(_WELL[self._kind])

    def _treat(self, command: tuple[str, ...]) -> None:
        assert self._server is not None
        self._is_treating = True
        try:
            self._server.execute_command(*command)
        finally:
            self._is_treating = False
