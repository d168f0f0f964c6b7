"""What is published, read by others than us: a stock Celery worker and a plain kombu consumer."""

import base64
import json
from typing import Any

import kombu
import msgspec
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker

import enrolled
from fleethand_common import celery_config, letters, messages, sealing
from waiting import wait_until

ORDERS = celery_config.orders_queue("host-1")
CONTROL = celery_config.control_queue("host-1")
SECRETS = {
    "command_content": "echo hunter-content {{p}}",
    "enable_parameter": True,
    "parameters": {"p": "hunter-value"},
    "parameter_definitions": [{"parameter_name": "p", "secret": True}],
}


def test_stock_celery_worker_gets_orders_and_stops_as_tasks(plane, host, redis_url: str) -> None:
    """Names, ids, arguments and headers arrive as Celery means them; the message is protocol 2."""
    host()
    app = Celery("stock", broker=redis_url, set_as_current=False)
    app.conf.update(
        {
            **celery_config.BASE_CONFIG,
            "broker_transport_options": dict(celery_config.CHANNEL_OPTIONS),
            "task_queues": [kombu.Queue(name, kombu.Exchange(""), routing_key=name) for name in (ORDERS, CONTROL)],
            "worker_hijack_root_logger": False,
        }
    )
    got: list[tuple[Any, ...]] = []

    @app.task(name=messages.EXECUTE_TASK, bind=True)
    def execute(self: Any, order: dict[str, Any]) -> None:
        got.append(("execute", self.request.id, order["invocation_id"], self.request.get("fleethand_instance_id")))

    @app.task(name=messages.STOP_TASK, bind=True)
    def stop(self: Any, order: dict[str, Any]) -> None:
        got.append(("stop", self.request.id, order["invocation_id"], self.request.get("fleethand_instance_id")))

    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="ERROR"):
        invocation = plane.dispatcher.run_command(**SECRETS, instance_ids=["host-1"], name="Grüße ☃")
        invocation.stop()
        wait_until(lambda: len(got) == 2, 10, "both tasks to be run")

    t = invocation.invoke_id
    assert {("execute", f"{t}.host-1", t, "host-1"), ("stop", f"{t}.host-1.stop", t, "host-1")} == set(got)


def test_kombu_consumer_reads_the_whole_letter(plane, host, redis_url: str) -> None:
    """The same bytes that were recorded, for every instance; the token that opens it rides in the headers."""
    first = host()
    invocation = plane.dispatcher.run_command(**SECRETS, instance_ids=["host-1"], name='q"\\u0000')
    bodies: list[Any] = []
    headers: list[dict[str, Any]] = []

    def take(body: Any, message: Any) -> None:
        bodies.append(body)
        headers.append(message.headers)
        message.ack()

    with (
        kombu.Connection(redis_url, transport_options=dict(celery_config.CHANNEL_OPTIONS)) as connection,
        connection.Consumer(kombu.Queue(ORDERS), callbacks=[take], accept=["json"], no_ack=True),
    ):
        while not bodies:
            connection.drain_events(timeout=5)

    ((arguments, keywords, _),) = bodies
    stored = plane.store.invocations.letter(invocation.invoke_id)
    assert (arguments, keywords) == ([], {"order": json.loads(stored)})
    assert "hunter" not in json.dumps(bodies)
    token = letters.unpack(sealing.open_sealed(base64.b64decode(headers[0]["fleethand_token"]), first.keys.down))
    order = messages.decode_order(letters.open_letter(msgspec.json.decode(stored, type=letters.Letter), token))
    assert order.parameters == {"p": "hunter-value"}
    assert (headers[0]["shadow"], headers[0]["task"], headers[0]["retries"]) == ('q"\\u0000', "fleethand.execute", 0)
    assert (headers[0]["fleethand_attempt"], headers[0]["ignore_result"]) == (1, True)


def test_nothing_in_a_message_tells_what_is_run(plane, host, redis_client: "redis.Redis[Any]") -> None:
    """Headers and properties are what Flower and logs show: ids and the command's name; the body is sealed."""
    host()
    invocation = plane.dispatcher.run_command(**SECRETS, instance_ids=["host-1"], name="shown")
    invocation.stop()

    for queue in (ORDERS, CONTROL):
        (raw,) = redis_client.lrange(queue, 0, -1)
        message = json.loads(raw)
        assert "hunter" not in json.dumps(message)
        assert b"hunter" not in base64.b64decode(message["body"])
        assert message["headers"]["argsrepr"] == "()"
        expected = f"{{'invocation': '{invocation.invoke_id}', 'instance': 'host-1'}}"
        assert expected == message["headers"]["kwargsrepr"]
        assert message["properties"]["delivery_tag"]


def test_queue_vanishes_when_nothing_in_it_is_of_use(plane, host, redis_client: "redis.Redis[Any]") -> None:
    """A host that never comes back leaves nothing behind; a later and longer order prolongs the life of both."""
    host()
    run = plane.dispatcher.run_command
    invocation = run(command_content="x", instance_ids=["host-1"])
    assert 60 < redis_client.ttl(ORDERS) <= 70
    run(command_content="x", instance_ids=["host-1"], deliver_within_s=3600)
    assert 3600 < redis_client.ttl(ORDERS) <= 3610
    run(command_content="x", instance_ids=["host-1"], deliver_within_s=1)
    assert 3600 < redis_client.ttl(ORDERS) <= 3610

    invocation.stop()
    assert 60 + 60 < redis_client.ttl(CONTROL) <= 60 + 60 + 10
    assert redis_client.llen(ORDERS) == 3


def test_messages_of_many_hosts_differ_by_nothing_but_the_host(plane, redis_client: "redis.Redis[Any]") -> None:
    """More hosts than one call of the script takes; each queue holds one whole message of its own."""
    names = [f"H_{number}_" for number in range(1203)]  # no id of ours holds such a text
    enrolled.enrol_rows(plane.store, plane.keyring, names)
    plane.store.client.zadd("fleethand:seen", dict.fromkeys(names, plane.store.now_ms()))

    plane.dispatcher.run_command(command_content="x", instance_ids=names)

    raws = {name: redis_client.lrange(celery_config.orders_queue(name), 0, -1) for name in names}
    assert {1} == {len(raw) for raw in raws.values()}
    assert len({json.loads(raw)["body"] for (raw,) in raws.values()}) == 1
    tokens = {name: json.loads(raw)["headers"]["fleethand_token"] for name, (raw,) in raws.items()}
    assert len(set(tokens.values())) == len(names)
    alike = {raw.replace(name, "H").replace(tokens[name], "T") for name, (raw,) in raws.items()}
    assert len(alike) == 1
