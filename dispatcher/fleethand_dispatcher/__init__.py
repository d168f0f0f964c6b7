"""The control plane: `Dispatcher` runs commands on a fleet and tells what became of them."""

from fleethand_dispatcher.dispatcher import Dispatcher
from fleethand_dispatcher.invocation import Invocation

__all__ = ["Dispatcher", "Invocation"]
