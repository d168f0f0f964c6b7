"""The command line `fleethand`: it parses, calls the `Dispatcher` and prints.

Nothing heavy is imported at the top of a module here: what a command needs is imported when it runs.
"""

from fleethand_dispatcher.cli.app import main

__all__ = ["main"]
