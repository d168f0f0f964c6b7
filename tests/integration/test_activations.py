"""Activations against a real server: made, listed, disabled, deleted; their codes are nobody's to read."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from dumps import dump_of
from fleethand_dispatcher import activation_codes
from fleethand_dispatcher.dispatcher import Dispatcher
from refusals import refusal_of


@pytest.fixture
def dispatcher(plane: Any) -> Dispatcher:
    """The Python API."""
    return plane.dispatcher


def test_activation_is_listed_without_its_code(dispatcher: Dispatcher) -> None:
    """The code is in the answer of `create_activation` and nowhere else."""
    made = dispatcher.create_activation(
        instance_name="web",
        description="the shop",
        instance_count=3,
        ip_address_range="10.0.0.0/8",
        tags={"env": "prod"},
    )
    (listed,) = dispatcher.describe_activations().items

    assert activation_codes.is_id(made.activation_id)
    assert made.activation_code.startswith("a-")
    assert (listed.activation_id, listed.instance_name, listed.description) == (made.activation_id, "web", "the shop")
    assert (listed.instance_count, listed.registered_count, listed.deregistered_count) == (3, 0, 0)
    assert (listed.time_to_live_in_hours, listed.usable, listed.disabled) == (4, True, False)
    assert (listed.ip_address_range, listed.tags) == ("10.0.0.0/8", {"env": "prod"})
    assert (listed.expiration_time - listed.creation_time).total_seconds() == 4 * 3600
    assert made.activation_code not in repr(listed)


def test_nothing_of_an_activation_can_be_read_in_redis(dispatcher: Dispatcher, redis_url: str) -> None:
    """Neither code, tags nor networks; not even with a client token, which must answer alike later."""
    made = dispatcher.create_activation(tags={"tier": "gold"}, ip_address_range="10.77.0.0/16", client_token="once")
    text = dump_of(redis_url)

    for secret in (made.activation_code, "gold", "10.77.0.0"):
        assert secret.encode() not in text


def test_client_token_gives_the_same_activation_once(dispatcher: Dispatcher) -> None:
    """Also the same code; another request under the same token is refused (spec 1.7)."""
    first = dispatcher.create_activation(instance_name="web", client_token="once")

    assert dispatcher.create_activation(instance_name="web", client_token="once") == first
    assert len(dispatcher.describe_activations().items) == 1
    error = refusal_of(lambda: dispatcher.create_activation(instance_name="db", client_token="once"))
    assert error is not None
    assert error.code == "IdempotentParameterMismatch"


@pytest.mark.parametrize(
    ("values", "code", "text"),
    [
        ({"instance_count": 0}, "ActivationLimitation.Invalid", "limit of 100000"),
        ({"instance_count": 100_001}, "ActivationLimitation.Invalid", "limit of 100000"),
        ({"time_to_live_in_hours": 0}, "ActivationTTL.ExceedLimit", "limit of 720"),
        ({"time_to_live_in_hours": 721}, "ActivationTTL.ExceedLimit", "limit of 720"),
    ],
)
def test_bound_is_a_setting_and_stands_in_the_message(
    dispatcher: Dispatcher, values: dict[str, int], code: str, text: str
) -> None:
    """The API's `%s` is filled with the limit."""
    error = refusal_of(lambda: dispatcher.create_activation(**values))

    assert error is not None
    assert (error.code, text in str(error)) == (code, True)


def test_number_of_activations_is_bounded(make_plane: Callable[..., Any]) -> None:
    """By a setting (spec 12.1)."""
    dispatcher = make_plane(activations_max=1).dispatcher
    dispatcher.create_activation()

    error = refusal_of(dispatcher.create_activation)

    assert error is not None
    assert error.code == "ActivationCount.ExceedLimit"


def test_activations_are_found_by_id_name_and_tags_in_pages(dispatcher: Dispatcher) -> None:
    """Newest first; every filter must fit."""
    made = [
        dispatcher.create_activation(instance_name=f"web{number % 2}", tags={"n": str(number)}) for number in range(5)
    ]

    def ids(**filters: Any) -> list[str]:
        return [row.activation_id for row in dispatcher.describe_activations(**filters).items]

    first = dispatcher.describe_activations(max_results=2)
    second = dispatcher.describe_activations(max_results=2, next_token=first.next_token)
    third = dispatcher.describe_activations(max_results=2, next_token=second.next_token)
    paged = [row.activation_id for page in (first, second, third) for row in page.items]
    assert sorted(paged) == sorted(row.activation_id for row in made)
    assert [row.creation_time for row in first.items] == sorted((r.creation_time for r in first.items), reverse=True)
    assert third.next_token == ""
    assert ids(activation_id=made[3].activation_id) == [made[3].activation_id]
    assert len(ids(instance_name="web0")) == 3
    assert ids(tags={"n": "4"}) == [made[4].activation_id]
    assert ids(activation_id="none") == []


def test_disabled_activation_stays_listed_and_is_not_usable(dispatcher: Dispatcher) -> None:
    """Disabling it again changes nothing."""
    made = dispatcher.create_activation()

    for _ in range(2):
        assert dispatcher.disable_activation(made.activation_id).disabled
    (listed,) = dispatcher.describe_activations().items
    assert (listed.disabled, listed.usable) == (True, False)


def test_deleted_activation_is_gone(dispatcher: Dispatcher, redis_client: "redis.Redis[Any]") -> None:
    """With its counters."""
    made = dispatcher.create_activation()

    assert dispatcher.delete_activation(made.activation_id).activation_id == made.activation_id
    assert dispatcher.describe_activations().items == []
    assert not redis_client.exists("fleethand:activations", f"fleethand:activation:{made.activation_id}")


@pytest.mark.parametrize("verb", ["disable_activation", "delete_activation"])
def test_unknown_activation_is_refused(dispatcher: Dispatcher, verb: str) -> None:
    """With 404 (spec 12.2)."""
    error = refusal_of(lambda: getattr(dispatcher, verb)("4ECEEE12-56F1-4FBC-9AB1-890F1234ABCD"))

    assert error is not None
    assert (error.code, error.http_status) == ("ActivationId.NotFound", 404)


def test_activation_that_somebody_wrote_into_redis_is_none(dispatcher: Dispatcher, redis_url: str) -> None:
    """Nor is one that was copied under another id."""
    made = dispatcher.create_activation()
    with redis.Redis.from_url(redis_url) as client:
        sealed = client.hget("fleethand:activations", made.activation_id)
        client.hset("fleethand:activations", "4ECEEE12-56F1-4FBC-9AB1-890F1234ABCD", sealed)

    assert [row.activation_id for row in dispatcher.describe_activations().items] == [made.activation_id]
