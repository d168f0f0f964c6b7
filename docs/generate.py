"""Writes the pages of docs/reference that follow from the code.

`python docs/generate.py` writes them; `--check` writes nothing and fails if one is not current.
"""

import argparse
import ast
import dataclasses
import difflib
import importlib
import inspect
import itertools
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import policies_page

from fleethand_common import errors, states
from fleethand_common.instance_errors import INSTANCE_ERRORS
from fleethand_common.settings import environment_name
from fleethand_common.states import InstanceStatus, InvocationStatus
from fleethand_dispatcher import verbs

REFERENCE = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code: change it there, then run `make docs`. -->"
HELP_WIDTH = 100
ERROR_MODULES = ("keyring", "signer", "vault")
"""Of the dispatcher: they have errors of their own, beside those that both sides know."""

SETTINGS = (
    ("Control plane", "fleethand_dispatcher.settings", "Settings", "`fleethand` and `celery beat`"),
    ("Host", "fleethand_worker.settings", "WorkerSettings", "`fleethand-worker`"),
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ") for cell in row) + " |"


def member_docs(kind: type[StrEnum]) -> dict[str, str]:
    """Return the string that stands under each member of an enumeration."""
    tree = ast.parse(inspect.getsource(kind))
    (definition,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    docs: dict[str, str] = {}
    for assignment, following in itertools.pairwise(definition.body):
        if isinstance(assignment, ast.Assign) and isinstance(following, ast.Expr):
            (target,) = assignment.targets
            assert isinstance(target, ast.Name)
            docs[kind[target.id]] = ast.literal_eval(following.value)
    return docs


def states_page() -> Iterator[str]:
    """The two levels of status and every allowed change."""
    yield from ("# Statuses", "", "What they mean and why is in [Statuses](../explanation/statuses.md).", "")
    yield from ("## Of one instance in one invocation", "")
    meanings = member_docs(InstanceStatus)
    rows = [(f"`{status}`", _kind(status), meanings[status]) for status in InstanceStatus]
    yield from table(("status", "kind", "meaning"), rows)
    yield from ("", "## Of the invocation", "", "Always derived from its instances' statuses, never stored.", "")
    meanings = member_docs(InvocationStatus)
    yield from table(("status", "rule"), [(f"`{status}`", meanings[status]) for status in InvocationStatus])
    yield from ("", "The first of these that any instance is in is the invocation's: ")
    yield ", ".join(f"`{live}`" for live, _ in states.LIVE_PRECEDENCE) + "."
    yield from ("", "## Allowed changes", "", "A change that is not marked is refused and changes nothing.", "")
    live = [status for status in InstanceStatus if status in states.LIVE]
    rows = [
        (f"`{following}`", *("yes" if following in states.TRANSITIONS[current] else "" for current in live))
        for following in InstanceStatus
    ]
    yield from table(("to \\ from", *(f"`{status}`" for status in live)), rows)
    yield from ("", "A status that a host reported as an end never changes.")
    yield f"One that the control plane only presumed ({_listed(states.PRESUMABLE)})"
    yield "is replaced once by the host's own word:"
    yield _listed(states.REPLACES_PRESUMED) + "."


def _kind(status: InstanceStatus) -> str:
    if status in states.LIVE:
        return "live"
    if status in states.FAILED_KIND:
        return "failed"
    return "stopped" if status in states.STOPPED_KIND else "success"


def _listed(statuses: frozenset[InstanceStatus]) -> str:
    return ", ".join(f"`{status}`" for status in InstanceStatus if status in statuses)


def error_codes_page() -> Iterator[str]:
    """Every code that an instance, a request or a program can answer with."""
    yield from ("# Error codes", "", "## Of an instance", "")
    yield "Why one instance ended as it did: `error_code` and `error_info` of a result."
    yield ""
    rows = [(f"`{code}`", f"`{error.status}`", error.info) for code, error in INSTANCE_ERRORS.items()]
    yield from table(("code", "status", "text"), rows)
    yield from ("", "## Of a request", "", "What the caller asked for cannot be done as asked.", "")
    api_errors = importlib.import_module("fleethand_dispatcher.api_errors").API_ERRORS
    rows = [(f"`{code}`", str(error.http_status), error.message) for code, error in sorted(api_errors.items())]
    yield from table(("code", "HTTP status", "text"), rows)
    yield from ("", "## Of Fleethand itself", "")
    modules = [errors, *(importlib.import_module(f"fleethand_dispatcher.{name}") for name in ERROR_MODULES)]
    kinds = [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and "code" in vars(kind) and kind.__module__ == module.__name__
    ]
    rows = [(f"`{kind.code}`", f"`{kind.__name__}`", (kind.__doc__ or "").strip().split("\n\n")[0]) for kind in kinds]
    yield from table(("code", "Python class", "text"), rows)


def settings_page() -> Iterator[str]:
    """Every setting of every program."""
    yield from ("# Settings", "")
    yield "The first place that has a value wins: flag, environment variable, configuration file (TOML, named by"
    yield "`--config` or `FLEETHAND_CONFIG`), default."
    yield "`fleethand config show` tells each value and where it came from, with secrets masked."
    inherited: set[str] = set()
    for title, module, name, programs in SETTINGS:
        kind = getattr(importlib.import_module(module), name)
        fields = [field for field in dataclasses.fields(kind) if field.name not in inherited or title == "Host"]
        inherited |= {field.name for field in fields}
        yield from ("", f"## {title}", "", f"Read by {programs}.", "")
        rows = [
            (f"`{field.name}`", f"`{environment_name(field.name)}`", _default(field), _help(field)) for field in fields
        ]
        yield from table(("setting", "environment variable", "default", "meaning"), rows)


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    elif field.default is not dataclasses.MISSING:
        value = field.default
    else:
        return "must be given"
    return "" if value in (None, "", {}, ()) else f"`{value}`"


def _help(field: "dataclasses.Field[Any]") -> str:
    text: str = field.metadata["help"]
    return text + (" (secret)" if field.metadata["secret"] else "")


def cli_page() -> Iterator[str]:
    """The help of every command of both programs."""
    root = importlib.import_module("fleethand_dispatcher.cli.app").root
    exits = importlib.import_module("fleethand_dispatcher.cli.exits")
    yield from ("# Command line", "", "## Exit codes of `fleethand`", "")
    yield from table(("code", "name", "meaning"), list(_exit_codes(exits)))
    yield from ("", "## fleethand", "")
    yield from _click_help(root, click.Context(root, info_name="fleethand", **_context(root)))
    yield from ("## fleethand-worker", "")
    yield from _argparse_help(importlib.import_module("fleethand_worker.cli")._parser())


def _context(command: click.Command) -> dict[str, Any]:
    return {**command.context_settings, "terminal_width": HELP_WIDTH, "max_content_width": HELP_WIDTH}


def _click_help(command: click.Command, context: click.Context) -> Iterator[str]:
    yield from ("```text", command.get_help(context), "```", "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                inner = click.Context(child, info_name=name, parent=context, **_context(child))
                yield from (f"### {inner.command_path}", "")
                yield from _click_help(child, inner)


def _exit_codes(module: Any) -> Iterator[tuple[str, str, str]]:
    body = ast.parse(inspect.getsource(module)).body
    for assignment, following in itertools.pairwise(body):
        if isinstance(assignment, ast.Assign) and isinstance(following, ast.Expr):
            (target,) = assignment.targets
            assert isinstance(target, ast.Name)
            yield str(getattr(module, target.id)), f"`{target.id}`", ast.literal_eval(following.value)


def _argparse_help(parser: argparse.ArgumentParser, summary: str = "") -> Iterator[str]:
    """Describe a parser by what it knows, as the layout of argparse's own help differs from Python to Python."""
    yield from (parser.description or f"{summary[:1].upper()}{summary[1:]}.", "")
    rows = [
        (
            " ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`",
            _meaning(action),
        )
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction | argparse._HelpAction | argparse._VersionAction)
    ]
    if rows:
        yield from table(("argument", "meaning"), rows)
        yield ""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {shown.dest: shown.help or "" for shown in action._choices_actions}
            for name, child in action.choices.items():
                yield from (f"### {child.prog}", "")
                yield from _argparse_help(child, summaries.get(name, ""))


def _meaning(action: argparse.Action) -> str:
    return (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")


def python_api_page() -> Iterator[str]:
    """Every public method of the Python API, and the records that they answer with."""
    yield from ("# Python API", "", "How to use it is in [Use the Python API](../how-to/use-the-python-api.md).", "")
    yield "`from fleethand_dispatcher import Dispatcher, Invocation`"
    for name in ("Dispatcher", "Invocation"):
        definition = _classes(f"fleethand_dispatcher.{name.lower()}")[name]
        yield from ("", f"## {name}", "", *_prose(ast.get_docstring(definition)), "")
        for method in [*definition.body, *(_verbs() if name == "Dispatcher" else ())]:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                yield from _method(name, method)
    yield from ("## Records", "", "Frozen pydantic models, in `fleethand_dispatcher.models` and `trust_models`.")
    yield from ("Times are aware datetimes in UTC, and `None` for what has not happened.", "")
    for definition in [*_classes("fleethand_dispatcher.models").values(), *_classes(_TRUST).values()]:
        if definition.name != "Record":
            yield from _fields_table(definition)


_TRUST = "fleethand_dispatcher.trust_models"


def _verbs() -> Iterator[ast.stmt]:
    """Yield the methods that the dispatcher has from the modules of `verbs`."""
    for module in pkgutil.iter_modules(verbs.__path__, f"{verbs.__name__}."):
        for definition in _classes(module.name).values():
            yield from definition.body


def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _method(owner: str, method: ast.FunctionDef) -> Iterator[str]:
    arguments = method.args
    arguments.args = arguments.args[1:]
    is_property = any(isinstance(mark, ast.Name) and mark.id == "property" for mark in method.decorator_list)
    answer = f" -> {ast.unparse(method.returns)}" if method.returns else ""
    name, inner = method.name, re.sub(r"(: [^,]*?)=", r"\1 = ", ast.unparse(arguments))
    if len(name) + len(inner) + len(answer) > HELP_WIDTH:
        # the parts between commas that are inside no bracket, one on a line
        parts = re.split(r", (?![^\[]*\])(?![^(]*\))", inner)
        inner = "\n    " + ",\n    ".join(parts) + ",\n"
    call = f"{name}{answer.replace(' ->', ':')}" if is_property else f"{name}({inner}){answer}"
    yield from (f"### {owner}.{name}", "", "```python", call, "```", "", *_prose(ast.get_docstring(method)), "")


def _prose(docstring: str | None) -> Iterator[str]:
    """Turn a docstring into Markdown: its sections become lists."""
    in_section = False
    for line in (docstring or "").splitlines():
        in_section = in_section and (not line or line.startswith(" "))
        heading = re.fullmatch(r"(Args|Returns|Raises):", line)
        entry = re.fullmatch(r" {4}(\w+): (.*)", line)
        if heading:
            in_section = True
            yield from ({"Args": "Arguments"}.get(heading[1], heading[1]) + ":", "")
        elif entry and in_section:
            yield f"- `{entry[1]}`: {entry[2]}"
        else:
            yield line.strip() if not in_section else f"  {line.strip()}".rstrip()


def _fields_table(definition: ast.ClassDef) -> Iterator[str]:
    """Describe a record, a message or an enumeration by its fields and the strings under them."""
    rows: list[tuple[str, str, str]] = []
    for node, following in itertools.zip_longest(definition.body, definition.body[1:]):
        note = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            note = str(following.value.value)
        if isinstance(node, ast.AnnAssign):
            default = f" = {ast.unparse(node.value)}" if node.value else ""
            rows.append((f"`{ast.unparse(node.target)}`", f"`{ast.unparse(node.annotation)}{default}`", note))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            rows.append((f"`{ast.unparse(node.targets[0])}`", f"`{node.value.value!r}`", note))
    yield from (f"### {definition.name}", "", *_prose(ast.get_docstring(definition)), "")
    if rows:
        yield from (*table(("field", "type", "meaning"), rows), "")


def messages_page() -> Iterator[str]:
    """What crosses the wire."""
    module = importlib.import_module("fleethand_common.messages")
    yield from ("# Messages", "", "Orders go down, reports come up; all are JSON in UTF-8.")
    yield f"The protocol's version is {module.PROTOCOL_VERSION}, the field `version` of every message."
    yield "A field without a default must be there; an unknown field makes a message unreadable."
    yield "An order that is not genuine, or that nobody can read, is refused, logged and reported by the host."
    yield "An unreadable report is set aside and shown by `fleethand report dead`."
    yield from ("", "## The envelope of an order", "")
    yield "An order travels as a Celery message, protocol 2, JSON, in a Redis list of its own for each host,"
    yield "`fleethand:host:<instance id>:orders`; a stop and a directive in `…:control`."
    yield f"Its task is `{module.EXECUTE_TASK}`, `{module.STOP_TASK}` or `{module.DIRECTIVE_TASK}`."
    yield "Its only argument is `order`, a `Letter`."
    yield "Its id is `<invocation id>.<instance id>`, so that an order that is sent again is the same task."
    yield "What differs from host to host is in the headers:"
    yield f"`{module.INSTANCE_HEADER}`, `{module.ATTEMPT_HEADER}`, which counts how often it was sent, and"
    yield f"`{module.TOKEN_HEADER}`, in Base64: a `Token`, sealed for the host if the letter is."
    yield "The letter's `sealed` is the JSON of an `ExecutionOrder`, encrypted under the token's key."
    yield "Its `plain` is the JSON of a `StopOrder` or a `Directive`."
    yield "The signature is over the kind of message, the digest of that JSON, and the audience of up to 16 hosts;"
    yield "a directive's audience is `*`."
    yield from ("", "## The envelope of a report", "")
    yield "One element of the Redis list `fleethand:reports`: a `SealedReport`, as JSON; its `from` is the instance,"
    yield "its `sealed` a report, sealed under the key that this instance shares with the control plane, in Base64."
    yield "The report inside has a field `kind`: `accepted`, `started`, `output`, `finished`, `heartbeat` or `refused`."
    yield "What does not open, or speaks for another instance, is a forgery: it is counted and changes nothing."
    yield from ("", "## Fields", "")
    yield from (
        "Every report has `version` and `instance_id`; all but a heartbeat and `refused` must have `invocation_id`.",
        "",
    )
    for definition in (*_classes("fleethand_common.messages").values(), *_classes("fleethand_common.letters").values()):
        if not definition.name.startswith("_"):
            yield from _fields_table(definition)


def redis_keys_page() -> Iterator[str]:
    """The key dictionary."""
    text = inspect.getdoc(importlib.import_module("fleethand_dispatcher.keys")) or ""
    queues = importlib.import_module("fleethand_common.celery_config")
    yield from ("# Redis keys", "", "`<c>` is a command's id, `<t>` an invocation's, `<i>` an instance's.")
    yield from ("Only the control plane writes records; a host uses the queues alone.", "")
    yield from (line.replace("`<t>|<i>`", "`<t>\\|<i>`") for line in text.splitlines() if line.startswith("|"))
    yield f"| `{queues.orders_queue('<i>')}` | list, the orders for an instance; nobody else reads it |"
    yield f"| `{queues.control_queue('<i>')}` | list, the stops for an instance |"
    yield f"| `{queues.REPORTS_QUEUE}` | list, what hosts report |"
    yield from ("", "Times are milliseconds since 1970 on the server's clock.")


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "states.md": states_page,
    "error-codes.md": error_codes_page,
    "settings.md": settings_page,
    "cli.md": cli_page,
    "python-api.md": python_api_page,
    "messages.md": messages_page,
    "redis-keys.md": redis_keys_page,
    "policies.md": policies_page.lines,
}


def text_of(page: Callable[[], Iterator[str]]) -> str:
    """Return a page's whole text."""
    lines = "\n".join([NOTE, "", *page()]).splitlines()
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or check them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is not current")
    parser.add_argument("--only", choices=sorted(PAGES), action="append", help="this page; several times for several")
    flags = parser.parse_args(arguments)
    stale = 0
    for name in flags.only or PAGES:
        path = REFERENCE / name
        new, old = text_of(PAGES[name]), path.read_text() if path.exists() else ""
        if flags.check and new != old:
            stale += 1
            sys.stdout.writelines(
                difflib.unified_diff(
                    old.splitlines(keepends=True), new.splitlines(keepends=True), str(path), "the code"
                )
            )
        elif not flags.check:
            path.write_text(new)
            print(path.relative_to(REFERENCE.parents[1]))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
