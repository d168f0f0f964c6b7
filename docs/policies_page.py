"""The reference of policies, from the tables that decide."""

import json
from collections.abc import Iterator

from fleethand_dispatcher.authorization import OPEN, VERBS, Verb
from fleethand_dispatcher.policies import DOCUMENT_CHARS
from fleethand_dispatcher.policy_conditions import CONDITION_KEYS, OPERATORS
from fleethand_dispatcher.policy_documents import DOCUMENTS

_INTRO = f"""\
# Policies

How to use them is in [Give permissions](../how-to/give-permissions.md).

## Grammar

A policy is a JSON document of at most {DOCUMENT_CHARS} characters, spelled as in RAM.

| field | holds |
|---|---|
| `Version` | `"1"` |
| `Statement` | a statement, or a list of them |
| `Effect` | `Allow` or `Deny` |
| `Action` | an action or a list of them; `*` and `?` stand for anything and one character, in any case |
| `Resource` | a resource or a list of them; `*` and `?` as above, upper and lower case differ |
| `Condition` | optional: operator to condition key to a value or a list of values |

A statement fits if its action, its resource and all its conditions fit.
If any statement that fits denies, the action is denied; else, if any allows, it is allowed; else it is denied.

## Resources

`acs:ecs:<region>:<account>:<kind>/<id>`, where region and account are the settings `region_id` and `account_id`.
A call on several resources is refused as a whole if one of them is not allowed.

## Conditions
"""

_BETWEEN = """\

A condition holds if the value is any of those that the policy names; with a negated operator (`…Not…`), if it is none.
What a call has no value for equals nothing, so that a negated operator holds.

## Actions

`<…>` is an argument of the verb of the Python API.
Where a verb only shows something, what may not be shown is left out, and a filter that names it is refused.
"""


def lines() -> Iterator[str]:
    """Yield the page."""
    yield from _INTRO.splitlines()
    yield from ("", "| key | what it is |", "|---|---|")
    yield from (f"| `{key}` | {text} |" for key, text in CONDITION_KEYS.items())
    yield from ("", "Operators: " + ", ".join(f"`{name}`" for name in OPERATORS) + ".")
    yield from _BETWEEN.splitlines()
    yield from ("", "| verb | action | on |", "|---|---|---|")
    for name, verb in VERBS.items():
        if verb is not OPEN:
            yield from (f"| `{name}` | `{action}` | {shown} |" for action, shown in _needs(verb))
    yield from ("", "## Built-in policies")
    for name, document in DOCUMENTS.items():
        yield from ("", f"### {name}", "", "```json", *json.dumps(document, indent=2).splitlines(), "```")


def _needs(verb: Verb) -> Iterator[tuple[str, str]]:
    for need in verb.needs:
        yield need.action, f"`{need.on.shown}`"
    if verb.admits:
        command = "`command/<command_id>`, " if verb.admits == "ecs:InvokeCommand" else ""
        yield verb.admits, command + "`instance/…` of every target"
    if verb.stops:
        yield verb.stops, "`instance/…` of every instance that it stops"
    if verb.invocation and not verb.needs:
        yield verb.invocation, "`instance/…` of any target of the invocation"
