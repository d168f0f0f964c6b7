"""What a command answers: JSON for a program, or the same in few words for a person."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from fleethand_dispatcher.cli import shapes, tables

T = TypeVar("T")


def print_list(
    found: Sequence[T], header: Sequence[str], row: Callable[[T], Sequence[object]], *, as_json: bool
) -> None:
    """Print records on stdout: one JSON list, or a table with a row for each."""
    if as_json:
        shapes.print_json(found)
    else:
        tables.print_rows(header, [row(record) for record in found])


def print_done(record: Any, text: str, *, as_json: bool) -> None:
    """Tell what a change came to: the record as JSON on stdout, or *text* on stderr."""
    if as_json:
        shapes.print_json(record)
    else:
        click.echo(text, err=True)
