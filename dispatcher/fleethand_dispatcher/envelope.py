"""The Celery message (protocol 2, JSON) that an order travels in, as kombu's Redis transport puts it into a list.

It is built once per invocation; only the instance id differs, so a whole fleet's messages are one text joined by ids.
"""

import base64
import json
import uuid
from collections.abc import Sequence

from fleethand_common import celery_config, messages

_INSTANCE = uuid.uuid4().hex
"""Stands for the instance id while the message is built; nobody can put it into a command's name."""


def order_parts(order: bytes, *, invoke_id: str, command_name: str, attempt: int) -> Sequence[str]:
    """Return the message that carries an `ExecutionOrder`, cut where the instance id belongs."""
    queue = celery_config.orders_queue(_INSTANCE)
    headers = _headers(messages.EXECUTE_TASK, f"{invoke_id}.{_INSTANCE}", invoke_id, attempt)
    headers["shadow"] = command_name or messages.EXECUTE_TASK
    return _parts(order, headers, queue)


def stop_parts(stop: bytes, *, invoke_id: str, attempt: int) -> Sequence[str]:
    """Return the message that carries a `StopOrder`, cut where the instance id belongs."""
    queue = celery_config.control_queue(_INSTANCE)
    return _parts(stop, _headers(messages.STOP_TASK, f"{invoke_id}.{_INSTANCE}.stop", invoke_id, attempt), queue)


def _headers(task: str, task_id: str, invoke_id: str, attempt: int) -> dict[str, object]:
    return {
        "lang": "py",
        "task": task,
        "id": task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "parent_id": None,
        # the reprs are what Flower shows, so they hold ids and nothing else
        "argsrepr": "()",
        "kwargsrepr": f"{{'invocation': '{invoke_id}', 'instance': '{_INSTANCE}'}}",
        "origin": "fleethand",
        "ignore_result": True,
        messages.INSTANCE_HEADER: _INSTANCE,
        messages.ATTEMPT_HEADER: attempt,
    }


def _parts(order: bytes, headers: dict[str, object], queue: str) -> Sequence[str]:
    body = b'[[],{"order":' + order + b'},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": headers["id"],
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": f"{headers['id']}.{uuid.uuid4().hex}",
        },
    }
    return json.dumps(message, separators=(",", ":")).split(_INSTANCE)
