"""From what a person types to the id that the API wants."""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from fleethand_common.errors import RequestError
from fleethand_common.limits import PAGE_MAX

if TYPE_CHECKING:
    from fleethand_dispatcher import Dispatcher
    from fleethand_dispatcher.models import Page

T = TypeVar("T")

_COMMAND_ID = re.compile(r"c-[0-9a-z]{20}")


def command_id_of(dispatcher: "Dispatcher", text: str) -> str:
    """Return the id of the command that *text* names: its id or its name.

    Raises:
        RequestError: no command has this name, or several have.
    """
    if _COMMAND_ID.fullmatch(text):
        return text
    ids = [found.command_id for found in pages(dispatcher.describe_commands, name=text) if found.name == text]
    if not ids:
        raise RequestError("InvalidCmdId.NotFound", f"cannot find command {text!r}: no command has this id or name")
    if len(ids) > 1:
        raise RequestError("InvalidCmdName.Ambiguous", f"cannot choose: {text!r} is the name of {', '.join(ids)}")
    return str(ids[0])


def pages(describe: "Callable[..., Page[T]]", limit: int | None = None, **filters: Any) -> Iterator[T]:
    """Yield the items of one page after the other, at most *limit*.

    Args:
        describe: a verb of the `Dispatcher` that answers in pages, and *filters* its arguments but those of the page.
    """
    size = PAGE_MAX if limit is None else min(limit, PAGE_MAX)
    return islice(_items(describe, size, filters), limit)


def _items(describe: "Callable[..., Page[T]]", size: int, filters: Mapping[str, Any]) -> Iterator[T]:
    token = ""
    while True:
        page = describe(**filters, max_results=size, next_token=token)
        yield from page.items
        if not (token := page.next_token):
            return
