"""What the host side needs of an event loop, so that it need not know whose loop it is."""

from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> Any:
        """Do not call."""


class Loop(Protocol):
    """A loop that watches descriptors and calls back later; kombu's hub is one."""

    def add_reader(self, fds: int, callback: Callable[..., Any], *args: Any) -> Any:
        """Call back whenever *fds* is readable."""

    def remove(self, fd: int) -> Any:
        """Watch *fd* no more."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back once, in *delay* seconds."""
