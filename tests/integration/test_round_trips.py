"""How often a call goes to the server, and that what it reads together is as fresh as what it read one by one."""

from collections.abc import Callable
from typing import Any

import pytest

from fleethand_common.errors import RequestError
from fleethand_dispatcher import keys
from fleethand_dispatcher.audit import AuditEvent
from fleethand_dispatcher.audit_checking import check
from fleethand_dispatcher.dispatcher import Dispatcher
from fleethand_dispatcher.gate import Gate
from round_trips import counted_trips

FLEET = [f"host-{number}" for number in range(1, 21)]
TRIPS = 6
"""To look at the hosts, to know of a freeze, to tell the audit log, to count, to record and to publish."""


@pytest.fixture
def dispatcher(plane, host) -> Dispatcher:
    """A dispatcher that has run something on a whole fleet before, so that it knows the hosts' keys."""
    for name in FLEET:
        host(name)
    run(plane.dispatcher, FLEET)
    found: Dispatcher = plane.dispatcher
    return found


def run(dispatcher: Dispatcher, instance_ids: list[str], **arguments: Any) -> Any:
    """Run something."""
    return dispatcher.run_command(command_content="echo hi", instance_ids=instance_ids, **arguments)


def trips_of(call: Callable[[], Any]) -> int:
    """Return how often a call asks the server."""
    with counted_trips() as trips:
        call()
    return len(trips)


@pytest.mark.parametrize("hosts", [1, 20])
def test_run_command_goes_to_the_server_six_times_for_any_number_of_hosts(dispatcher: Dispatcher, hosts: int) -> None:
    """What is independent is asked together; on a network, each time more is a wait."""
    assert trips_of(lambda: run(dispatcher, FLEET[:hosts])) <= TRIPS


def test_principal_pays_one_round_trip_more_than_the_operator(dispatcher: Dispatcher) -> None:
    """It asks whether what it knows of its policies still holds."""
    key = dispatcher.create_principal("ops", policies=["FleethandFullAccess"]).api_key
    principal = dispatcher.as_principal(key)
    run(principal, FLEET[:1])

    assert trips_of(lambda: run(principal, FLEET)) <= TRIPS + 1


def test_client_token_costs_two_round_trips(dispatcher: Dispatcher) -> None:
    """One to claim it, one to say that it is settled."""
    assert trips_of(lambda: run(dispatcher, FLEET, client_token="once")) <= TRIPS + 2


def test_freeze_by_somebody_else_stops_the_very_next_call(dispatcher: Dispatcher, make_plane) -> None:
    """Nothing is remembered of the time before."""
    make_plane().dispatcher.freeze(reason="stop")

    with pytest.raises(RequestError) as caught:
        run(dispatcher, FLEET)

    assert caught.value.code == "Operation.Frozen"


def test_host_that_is_revoked_by_somebody_else_gets_no_order_of_the_very_next_call(
    dispatcher: Dispatcher, make_plane
) -> None:
    """What is known of its keys does not outlive it."""
    make_plane().store.hosts.delete("host-1")

    results = {result.instance_id: result for result in run(dispatcher, FLEET[:2]).results()}

    assert results["host-1"].error_code == "InstanceNotExists"
    assert results["host-2"].invocation_status == "Pending"


def test_host_that_is_revoked_while_a_call_waits_gets_no_order(dispatcher: Dispatcher, plane, monkeypatch) -> None:
    """The keys are checked once more after the audit log was written, just before the order is."""
    tell = Gate.tell

    def revoke_then_tell(self: Gate, *arguments: Any, **named: Any) -> None:
        tell(self, *arguments, **named)
        plane.store.hosts.delete("host-1")

    monkeypatch.setattr(Gate, "tell", revoke_then_tell)

    invocation = run(dispatcher, FLEET[:2])

    tokens = plane.store.client.hkeys(keys.invocation(invocation.invoke_id).tokens)
    assert [name.decode() for name in tokens] == ["host-2"]


def test_entry_that_another_one_overtook_is_chained_to_that_one(dispatcher: Dispatcher, plane, monkeypatch) -> None:
    """An end that was read together with something else may be old by the time that it is used."""
    before_start = type(plane.store).before_start

    def overtaken(store: Any) -> Any:
        standing = before_start(store)
        plane.store.audit.append(AuditEvent(action="faster", actor="somebody"))
        return standing

    monkeypatch.setattr(type(plane.store), "before_start", overtaken)

    run(dispatcher, FLEET)

    entries = list(dispatcher.iter_audit_log(last=2))
    older, newer = sorted(entries, key=lambda entry: entry.sequence)
    assert (older.action, newer.action) == ("faster", "ecs:RunCommand")
    assert check(plane.store.audit).ok


def test_call_is_in_the_audit_log_before_anything_is_counted_recorded_or_sent(dispatcher: Dispatcher) -> None:
    """A process that dies on the way leaves an entry too many, never one too few."""
    with counted_trips() as trips:
        run(dispatcher, FLEET)

    first = {
        "audit": min(index for index, sent in enumerate(trips) if b'"action":"ecs:RunCommand"' in sent),
        "count": min(index for index, sent in enumerate(trips) if b"fleethand:day:" in sent),
        "record": min(index for index, sent in enumerate(trips) if keys.INVOCATION_PREFIX.encode() in sent),
    }
    assert first["audit"] < first["count"] < first["record"]


def test_call_finds_its_way_on_a_server_that_has_forgotten_the_scripts(dispatcher: Dispatcher, plane) -> None:
    """As after a restart: it sends them again."""
    plane.store.client.script_flush()

    run(dispatcher, FLEET)

    assert next(iter(dispatcher.iter_audit_log(last=1))).action == "ecs:RunCommand"
