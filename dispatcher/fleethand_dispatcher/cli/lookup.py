"""From what a person types to the id that the API wants."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

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
    found = pages(lambda token: dispatcher.describe_commands(name=text, max_results=PAGE_MAX, next_token=token))
    ids = [command.command_id for command in found if command.name == text]
    if not ids:
        raise RequestError("InvalidCmdId.NotFound", f"cannot find command {text!r}: no command has this id or name")
    if len(ids) > 1:
        raise RequestError("InvalidCmdName.Ambiguous", f"cannot choose: {text!r} is the name of {', '.join(ids)}")
    return str(ids[0])


def pages(get: "Callable[[str], Page[T]]", limit: int | None = None) -> Iterator[T]:
    """Yield the items of one page after the other, at most *limit*.

    Args:
        get: called with a page's token, at first with an empty one.
    """
    token, count = "", 0
    while True:
        page = get(token)
        for item in page.items:
            if limit is not None and count >= limit:
                return
            yield item
            count += 1
        token = page.next_token
        if not token or (limit is not None and count >= limit):
            return
