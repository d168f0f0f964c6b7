"""Invocations and results page by page: each once, newest first, whatever happens between two pages."""

from typing import Any

import pytest

from fleethand_common.errors import RequestError
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.models import Page
from recorded import record

SUCCESS, FAILED, PENDING = InstanceStatus.SUCCESS, InstanceStatus.FAILED, InstanceStatus.PENDING


def pages(call, size: int, **filters: Any) -> list[list[Any]]:
    """Read all pages."""
    page: Page[Any] = call(max_results=size, **filters)
    found = [list(page.items)]
    while page.next_token:
        page = call(max_results=size, next_token=page.next_token, **filters)
        found.append(list(page.items))
    return found


def ids_of(found: list[list[Any]]) -> list[str]:
    """Return the invocation ids of all pages."""
    return [item.invoke_id for page in found for item in page]


@pytest.mark.parametrize("times", [[5] * 7, [1, 2, 3, 4, 5, 6, 7], [1, 1, 2, 2, 2, 3, 3]], ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pages_of_invocations_hold_each_once_newest_first(plane, times: list[int], size: int) -> None:
    """Also where several were created in the same millisecond, and with a size that ends a page between them."""
    made = [(at, record(plane.store, {"i": SUCCESS}, at_ms=at)) for at in times]
    expected = [invoke_id for _, invoke_id in sorted(made, reverse=True)]

    found = pages(plane.dispatcher.describe_invocations, size)

    assert expected == ids_of(found)
    assert [size] * (7 // size) + [7 % size] * bool(7 % size) == [len(page) for page in found]
    assert expected == ids_of(pages(plane.dispatcher.describe_invocations, size, instance_id="i"))


def test_next_page_is_right_when_its_place_was_removed_and_new_ones_came(plane) -> None:
    """Retention may remove the very invocation that a token names; nothing is lost or twice."""
    made = sorted((record(plane.store, {"i": SUCCESS}, at_ms=5) for _ in range(5)), reverse=True)
    first = plane.dispatcher.describe_invocations(max_results=2)
    of_instance = plane.dispatcher.describe_invocation_results(instance_id="i", max_results=2)

    plane.store.invocations.forget(made[1])
    record(plane.store, {"i": SUCCESS}, at_ms=6)

    rest = plane.dispatcher.describe_invocations(max_results=50, next_token=first.next_token)
    assert made[2:] == [item.invoke_id for item in rest.items]
    rest = plane.dispatcher.describe_invocation_results(
        instance_id="i", max_results=50, next_token=of_instance.next_token
    )
    assert made[2:] == [item.invoke_id for item in rest.items]


def test_more_than_one_chunk_is_read_in_order(plane) -> None:
    """The records are read a thousand at a time; the seam shows nowhere."""
    plane.store.client.zadd(keys.INVOCATIONS, {f"t-{number:05}": number // 3 for number in range(2500)})

    found = [invoke_id for invoke_id, _ in plane.store.invocations.newest(before=(600, "t-01801"))]

    assert [f"t-{number:05}" for number in range(1800, -1, -1)] == found


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "dcba"),
        ({"instance_id": "i-1"}, "dca"),
        ({"instance_id": "i-9"}, ""),
        ({"invocation_status": "Success"}, "a"),
        ({"invocation_status": "PartialFailed"}, "d"),
        ({"invocation_status": "Pending"}, "c"),
        ({"command_type": "RunShellScript"}, "dcba"),
        ({"command_type": "RunBatScript"}, ""),
        ({"command_name": "na*"}, "dcba"),
        ({"command_name": "na"}, ""),
        ({"command_id": "c-1"}, "dcba"),
        ({"command_id": "c-2"}, ""),
        ({"instance_id": "i-1", "invocation_status": "Pending"}, "c"),
    ],
    ids=str,
)
def test_describe_invocations_finds_what_fits_every_filter(plane, filters: dict[str, str], expected: str) -> None:
    """Filters are joined by and; the pages are those of what fits."""
    made = {
        "a": record(plane.store, {"i-1": SUCCESS}, at_ms=1),
        "b": record(plane.store, {"i-2": FAILED}, at_ms=2),
        "c": record(plane.store, {"i-1": SUCCESS, "i-2": PENDING}, at_ms=3),
        "d": record(plane.store, {"i-1": SUCCESS, "i-2": FAILED}, at_ms=4),
    }

    found = pages(plane.dispatcher.describe_invocations, 1, **filters)

    assert [made[name] for name in expected] == ids_of(found)


def test_describe_one_invocation_takes_the_other_filters_too(plane) -> None:
    """An id that does not exist, or does not fit, is an empty list and no error."""
    invoke_id = record(plane.store, {"i-1": SUCCESS})
    describe = plane.dispatcher.describe_invocations

    assert [invoke_id] == [i.invoke_id for i in describe(invoke_id=invoke_id, instance_id="i-1").items]
    assert describe(invoke_id=invoke_id, instance_id="i-2").items == []
    assert describe(invoke_id=invoke_id, invocation_status="Failed").items == []
    assert describe(invoke_id="t-nothing").items == []


def test_unknown_status_is_refused_by_every_filter(plane) -> None:
    """A mistyped status is a mistake, not an empty answer; the message lists those that exist."""
    invoke_id = record(plane.store, {"i-1": SUCCESS})
    d = plane.dispatcher
    for call in (
        lambda: d.describe_invocations(invocation_status="Sucess"),
        lambda: d.describe_invocation_results(invoke_id, invocation_status="Sucess"),
        lambda: d.describe_invocation_results(instance_id="i-1", invocation_status="Sucess"),
        lambda: list(d.iter_results(invoke_id, statuses=["Sucess"])),
        lambda: d.retry_invocation(invoke_id, only=["Sucess"]),
    ):
        with pytest.raises(RequestError, match=r"'Sucess'.*Success") as caught:
            call()
        assert caught.value.code == "InvalidParameter.Status"


MIXED = {f"i-{number:04}": (SUCCESS, FAILED, PENDING)[number % 3] for number in range(1205)}


@pytest.mark.parametrize("status", [None, "Failed", "pending"])
def test_results_of_one_invocation_come_in_the_order_of_its_targets(plane, status: str | None) -> None:
    """More targets than one read holds; with a filter each page is full as long as there are enough."""
    invoke_id = record(plane.store, MIXED)
    expected = [i for i, actual in MIXED.items() if status is None or actual == status.capitalize()]

    found = pages(plane.dispatcher.describe_invocation_results, 50, invoke_id=invoke_id, invocation_status=status)

    assert expected == [item.instance_id for page in found for item in page]
    assert {50} == {len(page) for page in found[:-1]}
    statuses = [status] if status else None
    assert expected == [item.instance_id for item in plane.dispatcher.iter_results(invoke_id, statuses=statuses)]


def test_results_page_ends_without_a_token_when_nothing_more_fits(plane) -> None:
    """A last page is known to be the last, also when other instances follow."""
    invoke_id = record(plane.store, {"a": FAILED, "b": FAILED, "c": SUCCESS})

    page = plane.dispatcher.describe_invocation_results(invoke_id, invocation_status="Failed", max_results=2)

    assert (["a", "b"], "") == ([item.instance_id for item in page.items], page.next_token)


def test_forged_token_of_results_is_refused_or_harmless(plane) -> None:
    """A place before the beginning is the beginning, one after the end is empty, another kind is refused."""
    invoke_id = record(plane.store, {"a": FAILED, "b": FAILED})
    describe = plane.dispatcher.describe_invocation_results
    for token, expected in (("LTU=", ["a", "b"]), ("OTk5", [])):  # -5, 999
        assert expected == [item.instance_id for item in describe(invoke_id, next_token=token).items]
    for token in ("WzEsImEiXQ==", "x", "!"):
        with pytest.raises(RequestError) as caught:
            describe(invoke_id, next_token=token)
        assert caught.value.code == "InvalidParameter.NextToken"


def test_results_of_one_instance_in_all_its_invocations(plane) -> None:
    """Newest first, with a filter on its own status, not the invocation's."""
    made = [
        record(plane.store, {"i": status, "other": SUCCESS}, at_ms=at)
        for at, status in enumerate([SUCCESS, FAILED] * 3)
    ]
    call = plane.dispatcher.describe_invocation_results

    assert made[::-1] == ids_of(pages(call, 2, instance_id="i"))
    assert [made[5], made[3], made[1]] == ids_of(pages(call, 2, instance_id="i", invocation_status="failed"))
    assert ids_of(pages(call, 2, instance_id="nobody")) == []


def test_one_result_is_asked_for_by_both_ids(plane) -> None:
    """The instance must be a target; the filter still holds."""
    invoke_id = record(plane.store, {"i": SUCCESS})
    call = plane.dispatcher.describe_invocation_results

    assert [invoke_id] == [item.invoke_id for item in call(invoke_id, instance_id="i").items]
    assert call(invoke_id, instance_id="i", invocation_status="Failed").items == []
    for arguments, code in (
        ({"invoke_id": invoke_id, "instance_id": "other"}, "InvalidInstance.NotFound"),
        ({"invoke_id": "t-nothing"}, "InvalidInvokeId.NotFound"),
        ({"invoke_id": "t-nothing", "instance_id": "i"}, "InvalidInvokeId.NotFound"),
        ({}, "InvalidParameter"),
    ):
        with pytest.raises(RequestError) as caught:
            call(**arguments)
        assert code == caught.value.code


def test_resolve_takes_last_a_whole_id_and_a_unique_beginning(plane) -> None:
    """With or without its prefix."""
    older = record(plane.store, {"i": SUCCESS}, at_ms=1)
    newer = record(plane.store, {"i": SUCCESS}, at_ms=2)
    resolve = plane.dispatcher.resolve_invocation

    assert newer == resolve("last")
    for text in (older, older[:12], older[2:12]):
        assert older == resolve(text)


@pytest.mark.parametrize("text", ["", "t-", "*", "t-*", "?" * 20, "[a-z]*", "t-zzzzzzzz", "T-", " ", "last "])
def test_resolve_refuses_what_names_no_invocation_or_any(plane, text: str) -> None:
    """An empty variable in a script must never stand for the only invocation there is."""
    record(plane.store, {"i": SUCCESS})

    with pytest.raises(RequestError) as caught:
        plane.dispatcher.resolve_invocation(text)

    assert caught.value.code == "InvalidInvokeId.NotFound"


def test_resolve_names_the_candidates_when_a_beginning_is_ambiguous(plane) -> None:
    """So that the caller can choose; `last` before there is one is refused, too."""
    with pytest.raises(RequestError, match="no invocation yet"):
        plane.dispatcher.resolve_invocation("last")
    plane.store.client.zadd(keys.INVOCATIONS, {"t-abc1": 1, "t-abc2": 2, "t-b": 3})

    with pytest.raises(RequestError, match=r"t-abc1.*t-abc2|t-abc2.*t-abc1"):
        plane.dispatcher.resolve_invocation("abc")
    assert plane.dispatcher.resolve_invocation("t-b") == "t-b"


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.describe_invocation("t-nothing"),
        lambda d: d.invocation("t-nothing"),
        lambda d: d.invocation_status("t-nothing"),
        lambda d: d.wait("t-nothing", 1),
        lambda d: list(d.follow("t-nothing", 1)),
        lambda d: list(d.iter_results("t-nothing")),
        lambda d: d.explain("t-nothing", "i"),
        lambda d: d.stop_invocation("t-nothing"),
        lambda d: d.retry_invocation("t-nothing"),
        lambda d: d.describe_invocation(""),
    ],
)
def test_every_verb_refuses_an_unknown_invocation(plane, call) -> None:
    """And leaves nothing of it behind."""
    with pytest.raises(RequestError) as caught:
        call(plane.dispatcher)

    assert caught.value.code == "InvalidInvokeId.NotFound"
    assert [key for key in plane.store.client.keys("*") if b"nothing" in key] == []
