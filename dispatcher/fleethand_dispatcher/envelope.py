"""The Celery message (protocol 2, JSON) that an order travels in, as kombu's Redis transport puts it into a list.

It is built once per invocation; only the instance id and its token differ, so a whole fleet's messages are one text,
cut in two where the token belongs, and each half again wherever the instance id does.
"""

import base64
import json
import uuid
from typing import NamedTuple

from fleethand_common import celery_config, messages

_INSTANCE = uuid.uuid4().hex
"""Stands for the instance id while the message is built; nobody can put it into a command's name."""
_TOKEN = uuid.uuid4().hex


class Parts(NamedTuple):
    """A message cut at its token, and each half where the instance id belongs."""

    before: list[str]
    after: list[str]

    def whole(self, instance_id: str, token: str) -> str:
        """Return the message for one instance."""
        return instance_id.join(self.before) + token + instance_id.join(self.after)


def order_parts(letter: bytes, *, invoke_id: str, command_name: str, attempt: int) -> Parts:
    """Return the message that carries the letter of an `ExecutionOrder`."""
    queue = celery_config.orders_queue(_INSTANCE)
    headers = _headers(messages.EXECUTE_TASK, f"{invoke_id}.{_INSTANCE}", invoke_id, attempt)
    headers["shadow"] = command_name or messages.EXECUTE_TASK
    return _parts(letter, headers, queue)


def stop_parts(letter: bytes, *, invoke_id: str, attempt: int) -> Parts:
    """Return the message that carries the letter of a `StopOrder`."""
    queue = celery_config.control_queue(_INSTANCE)
    return _parts(letter, _headers(messages.STOP_TASK, f"{invoke_id}.{_INSTANCE}.stop", invoke_id, attempt), queue)


def directive_parts(letter: bytes, *, sequence: int) -> Parts:
    """Return the message that carries the letter of a `Directive`."""
    queue = celery_config.control_queue(_INSTANCE)
    return _parts(letter, _headers(messages.DIRECTIVE_TASK, f"directive-{sequence}.{_INSTANCE}", "", 1), queue)


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
        messages.TOKEN_HEADER: _TOKEN,
    }


def _parts(letter: bytes, headers: dict[str, object], queue: str) -> Parts:
    body = b'[[],{"order":' + letter + b'},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
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
    before, after = json.dumps(message, separators=(",", ":")).split(_TOKEN)
    return Parts(before.split(_INSTANCE), after.split(_INSTANCE))
