"""The table of `redis_roles` in the words of `ACL SETUSER`."""

from collections.abc import Sequence

from fleethand_dispatcher.redis_roles import ROLES, Grant, Role, host_grants

_YOUNG_COMMANDS = frozenset({"client|setinfo"})
"""Commands that the oldest supported servers do not know."""


def host_rules(instance_id: str, *, db: int = 0) -> list[str]:
    """Return what the user of one host may do.

    Args:
        db: the number of the database; events go over channels that have it in their name.
    """
    return _words(host_grants(instance_id), db)


def role_rules(role: Role, *, db: int = 0) -> list[str]:
    """Return what the user of a part of the control plane may do."""
    return _words(ROLES[role], db)


def without_young_commands(rules: Sequence[str]) -> list[str]:
    """Return the rules for a server that does not know every command; what uses them goes without."""
    return [word for word in rules if word.removeprefix("+") not in _YOUNG_COMMANDS]


def _words(grants: Sequence[Grant], db: int) -> list[str]:
    own, *selectors = grants
    if db:
        own = own._replace(commands=(*own.commands, "select"))
    words = [*_of(own), *(f"({' '.join(_of(grant))})" for grant in selectors)]
    return [word.replace("{db}", str(db)) for word in words]


def _of(grant: Grant) -> list[str]:
    return [
        *(f"~{pattern}" for pattern in grant.keys),
        *(f"%R~{pattern}" for pattern in grant.read),
        *(f"%W~{pattern}" for pattern in grant.write),
        "resetchannels",  # a server may give new users all of them
        *(f"&{pattern}" for pattern in grant.channels),
        "-@all",
        *(f"+{command}" for command in grant.commands),
    ]
