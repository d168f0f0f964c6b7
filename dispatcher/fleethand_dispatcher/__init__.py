"""The control plane: `Dispatcher` runs commands on a fleet and tells what became of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fleethand_dispatcher.dispatcher import Dispatcher
    from fleethand_dispatcher.invocation import Invocation

__all__ = ["Dispatcher", "Invocation"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: the command line's help must not pay for Redis and pydantic."""
    if name == "Dispatcher":
        from fleethand_dispatcher.dispatcher import Dispatcher  # noqa: PLC0415

        return Dispatcher
    if name == "Invocation":
        from fleethand_dispatcher.invocation import Invocation  # noqa: PLC0415

        return Invocation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
