"""The Celery message: cut where the instance belongs, whole again with any instance, telling nothing."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from fleethand_common import messages
from fleethand_dispatcher.envelope import directive_parts, order_parts, stop_parts

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)
instances = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


@given(names, instances, st.integers(1, 99))
def test_order_is_whole_for_every_instance_whatever_its_command_is_called(
    name: str, instance: str, attempt: int
) -> None:
    """A name like `\\u0000`, or one that looks like the mark of the place, breaks nothing."""
    parts = order_parts(b'{"a":1}', invoke_id="t-1", command_name=name, attempt=attempt)

    message = json.loads(parts.whole(instance, "token"))

    headers = message["headers"]
    assert (f"t-1.{instance}", instance, attempt, "token") == (
        headers["id"],
        headers[messages.INSTANCE_HEADER],
        headers[messages.ATTEMPT_HEADER],
        headers[messages.TOKEN_HEADER],
    )
    assert (name or messages.EXECUTE_TASK) == headers["shadow"]
    assert f"fleethand:host:{instance}:orders" == message["properties"]["delivery_info"]["routing_key"]
    assert json.loads(base64.b64decode(message["body"]))[:2] == [[], {"order": {"a": 1}}]


def test_name_like_the_escape_of_a_nul_breaks_nothing() -> None:
    """The found case: six characters that were once taken for the place of the instance."""
    parts = order_parts(b"{}", invoke_id="t-1", command_name="a\\u0000b", attempt=1)

    assert json.loads(parts.whole("i", "t"))["headers"]["shadow"] == "a\\u0000b"


@given(instances)
def test_stop_is_another_task_in_the_other_queue(instance: str) -> None:
    """Its id differs from the order's, so that Flower shows two tasks."""
    message = json.loads(stop_parts(b"{}", invoke_id="t-1", attempt=2).whole(instance, "token"))

    assert (message["headers"]["task"], message["headers"]["id"]) == ("fleethand.stop", f"t-1.{instance}.stop")
    assert f"fleethand:host:{instance}:control" == message["properties"]["delivery_info"]["routing_key"]


@given(instances, st.integers(0, 10**14))
def test_directive_is_a_task_of_its_own_beside_the_stops(instance: str, sequence: int) -> None:
    """It never waits behind commands."""
    message = json.loads(directive_parts(b"{}", sequence=sequence).whole(instance, "token"))

    assert ("fleethand.directive", f"directive-{sequence}.{instance}") == (
        message["headers"]["task"],
        message["headers"]["id"],
    )
    assert f"fleethand:host:{instance}:control" == message["properties"]["delivery_info"]["routing_key"]


def test_two_messages_never_share_a_delivery_tag() -> None:
    """kombu tells messages apart by it."""
    tags = {
        json.loads(order_parts(b"{}", invoke_id="t-1", command_name="", attempt=1).whole("i", "t"))["properties"][
            "delivery_tag"
        ]
        for _ in range(3)
    }

    assert len(tags) == 3
