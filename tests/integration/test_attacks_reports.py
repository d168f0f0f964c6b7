"""Somebody who can write to Redis, or has stolen a host's identity, and wants others to believe a lie."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import redis

from fleethand_common import messages, sealing
from fleethand_common.celery_config import REPORTS_QUEUE
from fleethand_common.letters import SealedReport
from fleethand_common.messages import Refusal
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher import keys
from fleethand_dispatcher.alerts import TOLD_APART
from fleethand_dispatcher.audit import AuditEntry
from scripted_host import ScriptedHost, sealed_report

SUCCESS = InstanceStatus.SUCCESS
Hosts = Callable[..., ScriptedHost]


def ending(invoke_id: str, instance_id: str, output: str = "a lie") -> messages.Finished:
    """Return the report that an attacker wants to be believed."""
    return messages.Finished(
        instance_id=instance_id, invocation_id=invoke_id, status=SUCCESS, finished_at_ms=3, exit_code=0, output=output
    )


def alerts(plane, action: str) -> list[AuditEntry]:
    """Return the entries of the audit log of one action."""
    return [entry for entry in plane.store.audit.entries() if entry.action == action]


def counts(plane) -> dict[str, int]:
    """Return how often something did not look right, by kind."""
    return {each.kind: each.times for each in plane.dispatcher.security_counts()}


FORGERIES: dict[str, tuple[str, Callable[[ScriptedHost, ScriptedHost, messages.Finished], bytes]]] = {
    "unsealed": ("NotSealed", lambda a, b, lie: messages.encode(lie)),
    "sealed under a key of his own": (
        "DoesNotOpen",
        lambda a, b, lie: sealed_report(a.instance_id, lie, sealing.new_key()),
    ),
    "sealed under another host's key": ("DoesNotOpen", lambda a, b, lie: sealed_report(a.instance_id, lie, b.keys.up)),
    "by another host, which speaks for this one": (
        "OtherInstance",
        lambda a, b, lie: sealed_report(b.instance_id, lie, b.keys.up),
    ),
    "sealed under the key of the way down": (
        "DoesNotOpen",
        lambda a, b, lie: sealed_report(a.instance_id, lie, a.keys.down),
    ),
    "of a host that nobody enrolled": (
        "UnknownInstance",
        lambda a, b, lie: sealed_report("nobody", lie, sealing.new_key()),
    ),
    "empty": ("DoesNotOpen", lambda a, b, lie: msgspec.json.encode(SealedReport(instance_id="a", sealed=b""))),
}


@pytest.mark.parametrize(("reason", "forge"), FORGERIES.values(), ids=FORGERIES.keys())
def test_forged_report_changes_nothing_and_raises_an_alert(
    make_plane, reason: str, forge: Any, make_host: Hosts
) -> None:
    """Whatever it says, the row stays as it is; it is counted, told once, and a sample of it is kept."""
    plane = make_plane(redeliver_after_s=60)
    a, b = make_host("a"), make_host("b")
    a.beat()
    b.beat()
    plane.settle()
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["a", "b"])
    before = plane.store.invocations.rows(invocation.invoke_id, ["a", "b"])

    for _ in range(3):
        a.client.lpush(REPORTS_QUEUE, forge(a, b, ending(invocation.invoke_id, "a")))
        plane.settle()

    assert before == plane.store.invocations.rows(invocation.invoke_id, ["a", "b"])
    assert 3 == counts(plane)[f"report.forged:{reason}"]
    (told,) = alerts(plane, "report.forged")
    assert ("alert", reason) == (told.outcome, told.detail.partition(":")[0])
    (dead,) = plane.dispatcher.dead_reports()
    assert dead.reason.startswith(f"forged, {reason}: ")
    a.finish(invocation.invoke_id, output="the truth")
    plane.settle()
    assert ["the truth", ""] == [result.output for result in invocation.results()]


def test_report_that_was_altered_anywhere_does_not_open(plane, host: Hosts) -> None:
    """Every single byte of it counts."""
    a = host("a")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["a"])
    genuine = msgspec.json.decode(a.seal(ending(invocation.invoke_id, "a")), type=SealedReport)

    for at in range(len(genuine.sealed)):
        altered = bytearray(genuine.sealed)
        altered[at] ^= 1
        a.client.lpush(REPORTS_QUEUE, msgspec.json.encode(SealedReport(instance_id="a", sealed=bytes(altered))))
    for length in range(len(genuine.sealed)):
        cut = SealedReport(instance_id="a", sealed=genuine.sealed[:length])
        a.client.lpush(REPORTS_QUEUE, msgspec.json.encode(cut))
    plane.settle()

    assert "Pending" == invocation.status
    assert 2 * len(genuine.sealed) == counts(plane)["report.forged:DoesNotOpen"]


def test_report_cannot_be_moved_to_another_invocation(plane, host: Hosts, redis_client: "redis.Redis[Any]") -> None:
    """What was said of one is said of that one, however often it comes again."""
    a = host("a")
    first = plane.dispatcher.run_command(command_content="x", instance_ids=["a"])
    captured = a.seal(ending(first.invoke_id, "a", "of the first"))
    redis_client.lpush(REPORTS_QUEUE, captured)
    plane.settle()
    second = plane.dispatcher.run_command(command_content="x", instance_ids=["a"])
    story = plane.dispatcher.explain(first.invoke_id, "a")

    redis_client.lpush(REPORTS_QUEUE, *[captured] * 20)
    plane.settle()

    assert ("Success", "Pending") == (first.status, second.status)
    assert story == plane.dispatcher.explain(first.invoke_id, "a")


def test_stolen_identity_speaks_for_its_own_host_alone(plane, host: Hosts) -> None:
    """It cannot end what another host runs, whatever it names inside or outside."""
    a, thief = host("a"), host("b")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["a"])

    thief.send(ending(invocation.invoke_id, "b"))
    thief.send(ending(invocation.invoke_id, "a"))
    thief.client.lpush(
        REPORTS_QUEUE, sealed_report("a", ending(invocation.invoke_id, "a"), thief.keys.up), messages.encode(a.beat())
    )
    plane.settle()

    assert {"Pending": 1} == invocation.counts
    assert any("no target" in dead.reason for dead in plane.dispatcher.dead_reports())
    (entry,) = [each for each in alerts(plane, "report.forged") if "OtherInstance" in each.detail]
    assert ("b", ["b"]) == (entry.actor, entry.targets), "who sealed it is proven"


def test_host_that_is_no_longer_enrolled_is_not_believed(plane, host: Hosts) -> None:
    """Its keys are forgotten at once, by an aggregator that had used them, too."""
    a = host("a")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["a"])
    a.start(invocation.invoke_id)
    plane.settle()

    plane.store.hosts.delete("a")
    a.finish(invocation.invoke_id)
    plane.settle()

    assert "Running" == invocation.status
    assert 1 == counts(plane)["report.forged:UnknownInstance"]


def test_flood_of_forgeries_keeps_no_genuine_report_away(plane, host: Hosts, redis_client: "redis.Redis[Any]") -> None:
    """100,000 forgeries, most of them under invented names: all that hosts say arrives, and the log stays short."""
    names = [f"h{number}" for number in range(50)]
    hosts = [host(name) for name in names]
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=names)
    lie = ending(invocation.invoke_id, "h0")
    key = sealing.new_key()
    for each in hosts:
        with redis_client.pipeline(transaction=False) as pipe:
            for number in range(2000):
                name = each.instance_id if number % 4 == 0 else f"invented-{each.instance_id}-{number}"
                pipe.lpush(REPORTS_QUEUE, sealed_report(name, lie, key) if number % 2 else b"nonsense")
            pipe.execute()
        each.finish(invocation.invoke_id, output=each.instance_id)
    plane.settle()

    assert names == [result.output for result in invocation.results()]
    forged = sum(times for kind, times in counts(plane).items() if kind.startswith("report.forged:"))
    assert 100_000 == forged
    assert len(alerts(plane, "report.forged")) <= TOLD_APART + 4
    assert len(plane.dispatcher.dead_reports(max_results=1000)) <= TOLD_APART + 4


def test_broken_audit_log_keeps_no_report_away(plane, host: Hosts, redis_client: "redis.Redis[Any]") -> None:
    """Nor do broken counters: the alert is in the aggregator's own log, and the genuine report is applied."""
    a = host("a")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["a"])
    redis_client.set(keys.AUDIT, "broken")
    redis_client.set(keys.SECURITY, "broken")

    redis_client.lpush(REPORTS_QUEUE, "a forgery")
    a.finish(invocation.invoke_id)
    plane.settle()

    assert "Success" == invocation.status


def test_what_a_host_refused_is_told_and_stands_in_the_rows_story(plane, host: Hosts) -> None:
    """A forged copy of an order must not end what the genuine one will start, nor fill its story."""
    a = host("a")
    invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["a"])

    for _ in range(50):
        refused = messages.Refused(
            instance_id="a", at_ms=1, reason=Refusal.ALTERED, detail="no", invocation_id=invocation.invoke_id
        )
        a.send(refused)
    a.send(messages.Refused(instance_id="a", at_ms=1, reason=Refusal.UNSIGNED, invocation_id="../../x"))
    plane.settle()

    assert "Pending" == invocation.status
    steps = [
        step.detail for step in plane.dispatcher.explain(invocation.invoke_id, "a").steps if step.what == "refused"
    ]
    assert ["the host refused a copy: Altered (no)"] * 3 == steps
    told = alerts(plane, "host.refused")
    assert [("a", "alert", "Altered"), ("a", "alert", "Unsigned")] == [
        (each.actor, each.outcome, each.detail.partition(":")[0]) for each in told
    ]
    assert {"host.refused:Altered": 50, "host.refused:Unsigned": 1} == counts(plane)


@pytest.mark.parametrize("reason", [Refusal.EXPIRED, Refusal.SEEN_BEFORE])
def test_late_or_repeated_message_is_told_but_is_no_alarm(plane, host: Hosts, reason: Refusal) -> None:
    """It happens where nobody attacks."""
    a = host("a")

    a.send(messages.Refused(instance_id="a", at_ms=1, reason=reason))
    plane.settle()

    (told,) = alerts(plane, "host.refused")
    assert "refused" == told.outcome
