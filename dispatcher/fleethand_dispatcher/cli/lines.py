"""Live output of many hosts on one screen: whole lines, each with its host before it."""

import re
import sys

from fleethand_dispatcher.cli import colour

_LONGEST = 8192
"""A line longer than this is printed in pieces, so that a host that never ends its line costs no memory."""
_LINE_END = re.compile(r"\r?\n")
_HARMFUL = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
"""Control characters, but tab and colour: what a host prints must not move our cursor or set our title."""


class LinePrinter:
    """Prints pieces of output as lines; keeps what is not yet a line until it is one or its host has finished."""

    def __init__(self, *, prefix: bool = True) -> None:
        self._prefix = prefix
        self._colour = colour.wanted(sys.stdout)
        self._clean = colour.is_terminal(sys.stdout)
        self._partial: dict[str, str] = {}

    def feed(self, instance_id: str, data: str) -> None:
        """Take the next piece of a host's output."""
        *lines, rest = _LINE_END.split(self._partial.pop(instance_id, "") + data)
        while len(rest) > _LONGEST:
            lines.append(rest[:_LONGEST])
            rest = rest[_LONGEST:]
        if rest:
            self._partial[instance_id] = rest
        self._write(instance_id, lines)

    def finish(self, instance_id: str) -> None:
        """Print what is left of a host's output."""
        if rest := self._partial.pop(instance_id, ""):
            self._write(instance_id, [rest])

    def finish_all(self) -> None:
        """Print what is left of all hosts' output."""
        for instance_id in list(self._partial):
            self.finish(instance_id)

    def _write(self, instance_id: str, lines: list[str]) -> None:
        if not lines:
            return
        head = f"{instance_id}| " if self._prefix else ""
        if head and self._colour:
            head = colour.host(f"{instance_id}|", instance_id) + " "
        tail = "\x1b[0m" if self._colour else ""
        text = "".join(f"{head}{self._cleaned(line)}{tail if chr(27) in line else ''}\n" for line in lines)
        sys.stdout.write(text)  # not a stream of our own: the bar puts a stand-in there while it is shown
        sys.stdout.flush()

    def _cleaned(self, line: str) -> str:
        return cleaned(line) if self._clean else line


def cleaned(line: str) -> str:
    """Return what a terminal would show of *line* in the end, without anything that moves its cursor."""
    return _HARMFUL.sub("", line.rstrip("\r").rsplit("\r", 1)[-1])
