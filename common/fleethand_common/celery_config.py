"""The one agreement about Celery that both sides import: queue names and what every app of ours has set."""

from collections.abc import Mapping

REPORTS_QUEUE = "fleethand:reports"
CHANNEL_OPTIONS: Mapping[str, object] = {
    "ack_emulation": False,  # the control plane owns redelivery, docs/decisions/0002
    "priority_steps": [0],  # one list per queue; both sides must agree
}


def orders_queue(instance_id: str) -> str:
    """Return the queue that only this instance reads its execution orders from."""
    return f"fleethand:host:{instance_id}:orders"


def control_queue(instance_id: str) -> str:
    """Return the queue for what must never wait behind running commands."""
    return f"fleethand:host:{instance_id}:control"


BASE_CONFIG: Mapping[str, object] = {
    "task_serializer": "json",
    "accept_content": ["json"],
    "result_backend": None,
    "task_ignore_result": True,
    "task_create_missing_queues": False,
    "worker_enable_remote_control": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # the default gives up after 100 tries and the process exits
    "broker_channel_error_retry": True,  # a full server must not end the fleet
    "enable_utc": True,
}
