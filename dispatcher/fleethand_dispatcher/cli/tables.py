"""Rows for people and for pipes: a table on a terminal, tab-separated lines without a header anywhere else."""

import sys
from collections.abc import Iterable, Sequence

import click

from fleethand_dispatcher.cli import colour

_NEVER_WRAPPED = 24
"""Columns up to this width stay on one line: ids, times, statuses."""
_STYLES = {
    "Success": "green",
    "online": "green",
    "ok": "green",
    "Running": "cyan",
    "Pending": "cyan",
    "Stopping": "yellow",
    "warning": "yellow",
    **dict.fromkeys(("Failed", "PartialFailed", "Timeout", "Error", "Aborted", "Invalid", "Terminated"), "red"),
    **dict.fromkeys(("Stopped", "Cancelled", "offline", "fail"), "red"),
}
"""The colours of cells that say one of these words."""


def print_rows(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print *rows*; on a terminal with *header*, without columns that are empty, and statuses in colour."""
    if not colour.is_terminal(sys.stdout):
        for row in rows:
            click.echo("\t".join(_one_line(cell) for cell in row))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False)
    cells = [[_one_line(cell) for cell in row] for row in rows]
    widths = [max((len(row[column]) for row in cells), default=0) for column in range(len(header))]
    shown = [column for column, width in enumerate(widths) if width or not cells]
    for column in shown:
        table.add_column(header[column].upper(), overflow="fold", no_wrap=widths[column] <= _NEVER_WRAPPED)
    for row in cells:
        table.add_row(*(Text(row[column], style=_STYLES.get(row[column], "")) for column in shown))
    Console().print(table)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print one record: a name and a value per line; what is empty is left out."""
    known = [(name, _text(value)) for name, value in fields if value not in (None, "", (), [], {})]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        first, *rest = value.splitlines() or [""]
        click.echo(f"{name.ljust(width)}  {first}")
        for line in rest:
            click.echo(" " * (width + 2) + line)


def _text(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)


def _one_line(cell: object) -> str:
    return " ".join(str(cell).split()) if cell is not None else ""
