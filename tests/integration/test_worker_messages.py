"""No message ends the worker, holds it up, or gets its content into the log."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from fleethand_common.messages import EXECUTE_TASK, STOP_TASK
from fleethand_dispatcher.keyring import Keyring
from processes import Program
from unit.worker.control_line import ControlLine, make_order
from waiting import wait_until

StartWorker = Callable[..., Program]
SECRET = "S3CRET-CONTENT"


@pytest.fixture
def line(redis_client: "redis.Redis[str]", keyring: Keyring) -> ControlLine:
    """Return the line to host-1."""
    return ControlLine(redis_client, keyring)


def _b64(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.b64encode(data).decode()


def _changed(good: str, **changes: Any) -> str:
    """Return a good message with some of its fields changed; None takes one out; `headers__x` changes a header."""
    message = json.loads(good)
    for name, value in changes.items():
        target, _, key = name.partition("__")
        place = message[target] if key else message
        key = key or target
        if value is None:
            del place[key]
        else:
            place[key] = value
    return json.dumps(message)


def malformed(good: str) -> dict[str, str | bytes]:
    """Return messages that are wrong in as many ways as are known."""
    return {
        "not JSON": f"this is {SECRET} not JSON",
        "not UTF-8": b"\xff\xfe\x00" + SECRET.encode(),
        "JSON scalar": f'"{SECRET}"',
        "JSON list": f'["{SECRET}"]',
        "empty object": "{}",
        "headers a list": _changed(good, headers=[SECRET]),
        "headers missing": _changed(good, headers=None),
        "headers null": json.dumps({**json.loads(good), "headers": None}),
        "no id": _changed(good, headers__id=None),
        "id a list": _changed(good, headers__id=[SECRET]),
        "body not base64": _changed(good, body=f"!{SECRET}!"),
        "body not a tuple": _changed(good, body=_b64({"a": SECRET})),
        "body a pair": _changed(good, body=_b64([[], {"order": SECRET}])),
        "body without an order": _changed(good, body=_b64([[], {"x": SECRET}, {}])),
        "body missing": _changed(good, body=None),
        "timelimit a string": _changed(good, headers__timelimit=SECRET),
        "no properties": _changed(good, properties=None),
        "no delivery tag": _changed(good, properties__delivery_tag=None),
        "properties a string": _changed(good, properties=SECRET),
        "unknown task": _changed(good, headers__task=f"other.{SECRET}"),
        "task a dict": _changed(good, headers__task={"a": SECRET}),
        "unknown content type": _changed(good, **{"content-type": f"application/{SECRET}"}),
        "pickle": _changed(
            good, body=_b64(b"cos\nsystem\n(S'true'\ntR."), **{"content-type": "application/x-python-serialize"}
        ),
        "body not JSON": _changed(good, body=_b64(b"{" + SECRET.encode())),
        "bad encoding": _changed(good, **{"content-encoding": "no-such"}),
        "bad eta": _changed(good, headers__eta=SECRET),
        "bad expires": _changed(good, headers__expires=SECRET),
        "bad compression": _changed(good, headers__compression=SECRET),
        "another instance": _changed(good, headers__fleethand_instance_id=SECRET),
        "no instance": _changed(good, headers__fleethand_instance_id=None),
        "id with a path": _changed(
            good, body=_b64([[], {"order": {"invocation_id": f"../{SECRET}", "version": 1}}, {}])
        ),
        "a stop in bad shape": _changed(good, headers__task=STOP_TASK),
    }


def test_worker_lives_on_when_messages_are_malformed(worker_process: StartWorker, line: ControlLine) -> None:
    """Each is dropped with a line in the log that does not have its content, and the next good order runs."""
    worker = worker_process()
    line.wait_for_hello()
    good = line.envelope(make_order("t-bad", f"echo {SECRET}"))
    assert json.loads(good)["headers"]["task"] == EXECUTE_TASK
    for index, (what, message) in enumerate(malformed(good).items()):
        for queue in (line.orders_queue, line.control_queue):
            line.client.lpush(queue, message)
        line.order(f"t-{index}", "echo good")
        outcome = line.outcome(f"t-{index}", 10)
        assert outcome.output == "good\n", what
        assert worker.is_running, what
    assert SECRET not in worker.output()
    assert worker.output().count("event=connected") == 1
    assert line.client.llen(line.orders_queue) == line.client.llen(line.control_queue) == 0


def test_worker_waits_when_a_queue_has_the_wrong_type(worker_process: StartWorker, line: ControlLine) -> None:
    """It says what is wrong, does not hammer the server, and goes on once it is put right."""
    worker = worker_process(reconnect_jitter_s=1)
    line.wait_for_hello()
    line.client.set(line.orders_queue, "a string")
    worker.wait_for_output("WRONGTYPE")
    before = worker.output().count("event=disconnected")
    wait_until(lambda: worker.output().count("event=disconnected") > before, 30, "another attempt")
    assert worker.is_running
    assert worker.output().count("event=disconnected") < 10
    line.client.delete(line.orders_queue)
    line.order("t-good", "echo good")
    assert line.outcome("t-good", 40).output == "good\n"


def test_log_has_neither_content_nor_password_when_commands_run(worker_process: StartWorker, line: ControlLine) -> None:
    """What a command is, gets and says stays out of the log."""
    worker = worker_process(log_level="DEBUG")
    line.order("t-secret", f"echo {SECRET}-{{{{key}}}}; exit 1", enable_parameter=True, parameters={"key": "VALUE-7"})
    assert line.outcome("t-secret").output == f"{SECRET}-VALUE-7\n"
    worker.wait_for_output("event=ended invocation=t-secret")
    assert SECRET not in worker.output()
    assert "VALUE-7" not in worker.output()


def test_events_tell_flower_the_whole_life_when_a_command_runs(worker_process: StartWorker, line: ControlLine) -> None:
    """Received, started, succeeded or failed; with the exit code and neither output nor content."""
    with line.client.pubsub() as listener:
        listener.psubscribe("/0.celeryev/*")
        wait_until(lambda: listener.get_message(timeout=0.1), 5, "the subscription")
        worker_process(heartbeat_interval_s=0.5)
        line.order("t-good", f"echo {SECRET}")
        line.order("t-bad", f"echo {SECRET}; exit 3")
        line.outcome("t-good")
        line.outcome("t-bad")
        events: list[dict[str, Any]] = []

        def take() -> bool:
            while message := listener.get_message(timeout=0.05):
                body = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
                events.extend(body if isinstance(body, list) else [body])
            kinds = {(event["type"], event.get("uuid")) for event in events}
            return ("task-succeeded", "t-good.host-1") in kinds and ("task-failed", "t-bad.host-1") in kinds

        wait_until(take, 10, "all events")
        wait_until(lambda: take() and any(event["type"] == "worker-heartbeat" for event in events), 5, "a heartbeat")
    kinds = [event["type"] for event in events if event.get("uuid") == "t-good.host-1"]
    assert kinds == ["task-received", "task-started", "task-succeeded"]
    result = next(event for event in events if event["type"] == "task-succeeded")
    failure = next(event for event in events if event["type"] == "task-failed")
    assert result["result"] == '{"exit": 0}'
    assert failure["exception"] == "Failed: exit code 3"
    assert SECRET not in json.dumps(events)
