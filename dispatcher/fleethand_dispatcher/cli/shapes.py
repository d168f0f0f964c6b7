"""The JSON that `--json` prints. Times are text as in the API, empty for what has not happened."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from fleethand_common.clock import to_text

if TYPE_CHECKING:
    from fleethand_dispatcher.models import InvocationRecord, InvocationResult

_RENAMED = {"invoke_id": "invocation_id"}
"""The CLI says invocation everywhere; the API's field is called `invoke_id`."""


def time_text(at: datetime | None) -> str:
    """Return a time as the API writes it; an empty string for None."""
    return to_text(None if at is None else int(at.timestamp() * 1000))


def plain(value: Any) -> Any:
    """Turn a record of the API, or anything in it, into what JSON knows."""
    if isinstance(value, datetime):
        return time_text(value)
    if hasattr(type(value), "model_fields"):
        return {_RENAMED.get(name, name): _field(name, item) for name, item in value}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _field(name: str, value: Any) -> Any:
    return "" if value is None and name.endswith(("_time", "_at")) else plain(value)


def instance_object(result: "InvocationResult") -> dict[str, Any]:
    """Return one entry of `instances` in `invocation_object`."""
    return {
        "instance_id": result.instance_id,
        "invocation_status": str(result.invocation_status),
        "exit_code": result.exit_code,
        "output": result.output,
        "dropped": result.dropped,
        "error_code": str(result.error_code),
        "error_info": result.error_info,
        "start_time": time_text(result.start_time),
        "finished_time": time_text(result.finished_time),
        "repeats": result.repeats,
        "authentic": result.authentic,
    }


def invocation_object(record: "InvocationRecord", results: "Iterable[InvocationResult]") -> dict[str, Any]:
    """Return the one object that a command prints which ran something; instances are sorted by id."""
    return {
        "invocation_id": record.invoke_id,
        "invocation_status": str(record.invocation_status),
        "counts": {str(status): count for status, count in record.counts.items()},
        "instances": sorted((instance_object(result) for result in results), key=lambda row: row["instance_id"]),
    }


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    click.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))


def print_json_line(value: Any) -> None:
    """Print one line of JSON, for what goes on and on."""
    click.echo(json.dumps(plain(value), ensure_ascii=False))
