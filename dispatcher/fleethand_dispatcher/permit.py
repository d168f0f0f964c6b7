"""By whose rights something runs."""

import msgspec


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked for something to run, and what that is in the words of policies; a schedule asks again at each run."""

    actor: str
    action: str
    also: list[str] = []
    """What it is done to beside the instances, such as `command/c-…`."""
