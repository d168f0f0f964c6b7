"""Log lines: `key=value`, one per event, to stderr, without any script, parameter, output or password."""

import logging
import re
import sys
import traceback

from fleethand_common import clock

_PASSWORD = re.compile(r"(\w+://[^\s:/@]*):[^\s@]*@")
_FOREIGN_LEVEL = logging.WARNING


class Formatter(logging.Formatter):
    """`time=… level=… logger=… event=…`; of an exception only its type and where it was raised.

    The text of an exception from a library can hold a whole message, and a message holds a script.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        message = record.getMessage()
        if not message.startswith("event="):
            message = f"event=note text={_quote(message)}"
        line = (
            f"time={clock.to_text(int(record.created * 1000))} level={record.levelname.lower()} "
            f"logger={record.name} {message}"
        )
        if record.exc_info and record.exc_info[0]:
            frames = traceback.extract_tb(record.exc_info[2], -4)
            places = ">".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
            line += f" exception={record.exc_info[0].__name__} at={places}"
        return _PASSWORD.sub(r"\1:******@", line) if "://" in line else line


def _quote(text: str) -> str:
    return '"' + " ".join(text.split()).replace('"', "'") + '"'


def set_up(level: str) -> None:
    """Send every logger's lines to stderr; those of libraries only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_FOREIGN_LEVEL)
    logging.getLogger("fleethand_worker").setLevel(level.upper())
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False
