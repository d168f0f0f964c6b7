"""The Celery message: cut where the instance belongs, whole again with any instance, telling nothing."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from fleethand_common import messages
from fleethand_dispatcher.envelope import order_parts, stop_parts

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)
instances = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


@given(names, instances, st.integers(1, 99))
def test_order_is_whole_for_every_instance_whatever_its_command_is_called(
    name: str, instance: str, attempt: int
) -> None:
    """A name like `\\u0000`, or one that looks like the mark of the place, breaks nothing."""
    parts = order_parts(b'{"a":1}', invoke_id="t-1", command_name=name, attempt=attempt)

    message = json.loads(instance.join(parts))

    headers = message["headers"]
    assert (f"t-1.{instance}", instance, attempt) == (
        headers["id"],
        headers[messages.INSTANCE_HEADER],
        headers[messages.ATTEMPT_HEADER],
    )
    assert (name or messages.EXECUTE_TASK) == headers["shadow"]
    assert f"fleethand:host:{instance}:orders" == message["properties"]["delivery_info"]["routing_key"]
    assert json.loads(base64.b64decode(message["body"]))[:2] == [[], {"order": {"a": 1}}]


def test_name_like_the_escape_of_a_nul_breaks_nothing() -> None:
    """The found case: six characters that were once taken for the place of the instance."""
    parts = order_parts(b"{}", invoke_id="t-1", command_name="a\\u0000b", attempt=1)

    assert json.loads("i".join(parts))["headers"]["shadow"] == "a\\u0000b"


@given(instances)
def test_stop_is_another_task_in_the_other_queue(instance: str) -> None:
    """Its id differs from the order's, so that Flower shows two tasks."""
    message = json.loads(instance.join(stop_parts(b"{}", invoke_id="t-1", attempt=2)))

    assert (message["headers"]["task"], message["headers"]["id"]) == ("fleethand.stop", f"t-1.{instance}.stop")
    assert f"fleethand:host:{instance}:control" == message["properties"]["delivery_info"]["routing_key"]


def test_two_messages_never_share_a_delivery_tag() -> None:
    """kombu tells messages apart by it."""
    tags = {
        json.loads("i".join(order_parts(b"{}", invoke_id="t-1", command_name="", attempt=1)))["properties"][
            "delivery_tag"
        ]
        for _ in range(3)
    }

    assert len(tags) == 3
