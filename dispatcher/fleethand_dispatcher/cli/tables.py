"""Rows for people and for pipes: a table on a terminal, tab-separated lines without a header anywhere else."""

import sys
from collections.abc import Iterable, Sequence

import click

from fleethand_dispatcher.cli import colour


def print_rows(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print *rows*; on a terminal with *header*, and with what is a status coloured."""
    if not colour.is_terminal(sys.stdout):
        for row in rows:
            click.echo("\t".join(_one_line(cell) for cell in row))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in header:
        table.add_column(title.upper(), overflow="fold")
    for row in rows:
        cells = (_one_line(cell) for cell in row)
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    Console().print(table)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print one record: a name and a value per line; what is empty is left out."""
    known = [(name, str(value)) for name, value in fields if value not in (None, "", (), {})]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        first, *rest = value.splitlines() or [""]
        click.echo(f"{name.ljust(width)}  {first}")
        for line in rest:
            click.echo(" " * (width + 2) + line)


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


def _one_line(cell: object) -> str:
    return " ".join(str(cell).split()) if cell is not None else ""
