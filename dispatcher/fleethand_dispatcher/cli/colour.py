"""When there is colour, and which: NO_COLOR, a dumb terminal and a pipe mean none."""

import os
import zlib
from typing import IO

import click

_HOST_COLOURS = ("cyan", "green", "yellow", "blue", "magenta", "bright_cyan", "bright_green", "bright_yellow")


def wanted(stream: IO[str]) -> bool:
    """Tell whether to write colour to *stream*."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(stream: IO[str]) -> bool:
    """Tell whether a person reads *stream*."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def host(text: str, instance_id: str) -> str:
    """Colour *text* by its host, the same in every run."""
    return click.style(text, fg=_HOST_COLOURS[zlib.crc32(instance_id.encode()) % len(_HOST_COLOURS)])
