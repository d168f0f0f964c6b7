"""Whole verbs, and the aggregator, with trouble at each step: called again, they end as if there had been none."""

import contextlib
import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from fleethand_common import enrolling
from fleethand_common.errors import FleethandError, RequestError, ServerUnavailableError
from fleethand_dispatcher import keys
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.redis_users import RedisUsers
from fleethand_dispatcher.registrar.registration import Registration
from registrar import Answer, HandHost
from scripted_host import ScriptedHost
from trouble import TROUBLES, Trouble
from waiting import wait_until

RUN: dict[str, Any] = {"command_content": "x", "instance_ids": ["host-1"]}
pytestmark = pytest.mark.parametrize("kind", TROUBLES)


class Walk:
    """Makes trouble at the first step, then at the second, until a call has no more of them."""

    def __init__(self, trouble: Trouble, kind: str) -> None:
        self._trouble = trouble
        self._kind = kind
        self.number = 0

    def __iter__(self) -> Iterator["Walk"]:
        is_over = False
        while not is_over:
            self.number += 1
            yield self
            is_over = self._is_over
        assert self.number > 1

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Make the trouble within; an error that tells of it is as it should be."""
        self._trouble.arm(self._kind, self.number)
        try:
            with contextlib.suppress(ServerUnavailableError, redis.RedisError):
                yield
        finally:
            self._is_over = self._trouble.disarm()


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch, redis_client: "redis.Redis[Any]", kind: str) -> Walk:
    """Trouble of a kind at each step."""
    return Walk(Trouble(monkeypatch, redis_client), kind)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    """The keys of this test's own control plane, which it may change."""
    return Keyring.create(tmp_path / "keys")


def test_new_key_signs_nothing_before_hosts_were_told_of_it(plane, host, walk: Walk) -> None:
    """A rotation that failed is made again under the same name or another, and no host is left behind."""
    host()
    for step in walk:
        name = f"key-{step.number}"
        with step.step():
            plane.dispatcher.rotate_signing_key(name, starts_in_s=0)

        current = plane.dispatcher._directives.current()
        told = {key.key_id for key in current.keys} if current else set()
        signs = plane.keyring.signer(plane.store.now_ms()).key
        assert signs.key_id in told or signs.name == "first"
        with contextlib.suppress(FleethandError):  # it may have been made after all
            plane.dispatcher.rotate_signing_key(name, starts_in_s=0)
        assert name in [key.name for key in plane.dispatcher._directives.current().keys]


def test_freeze_that_failed_is_made_again(plane, host, walk: Walk) -> None:
    """The newest directive says what was asked for last, and hosts get it."""
    one = host()
    for step in walk:
        for call, frozen in ((plane.dispatcher.freeze, True), (plane.dispatcher.unfreeze, False)):
            with step.step():
                call()
            assert call().frozen is frozen
            assert one.directives()[-1].frozen is frozen


def test_deregistration_that_failed_is_carried_on_by_the_next(plane, redis_client, redis_url, walk: Walk) -> None:
    """Nothing of the host is left behind: no Redis user, no row that waits, no sign of life."""
    users = RedisUsers(redis_client)
    for step in walk:
        name = f"host-{step.number}"
        provision = plane.dispatcher.provision_instance(name)
        one = ScriptedHost(redis_client, provision)
        one.beat()
        plane.settle()
        invocation = plane.dispatcher.run_command(command_content="x", instance_ids=[name])

        with step.step():
            plane.dispatcher.deregister_managed_instance(name)
        with contextlib.suppress(RequestError):  # it was carried out
            plane.dispatcher.deregister_managed_instance(name)

        assert f"host-{name}" not in users.all()
        assert [result.error_code for result in invocation.results()] == ["InstanceDeregistered"]
        assert plane.store.hosts.read([name]) == [None]


def test_stop_that_failed_is_carried_on_by_the_next(plane, host, walk: Walk) -> None:
    """What waited is cancelled, what ran is asked to stop, and when that was asked for is known."""
    one, other = host(), host("host-2")
    for step in walk:
        invocation = plane.dispatcher.run_command(command_content="x", instance_ids=["host-1", "host-2"])
        one.start(invocation.invoke_id)
        plane.settle()
        other.orders(), one.orders(), one.stops()

        with step.step():
            invocation.stop()
        invocation.stop()

        plane.settle()
        assert {"Stopping"} == {result.invocation_status for result in invocation.results()}
        assert invocation.invoke_id in {stop.invocation_id for stop in one.stops()}
        assert plane.store.invocations.head(invocation.invoke_id).stop_at


def test_command_is_kept_once_with_a_client_token(plane, walk: Walk) -> None:
    """Whatever failed, the same call makes the command that the first one would have made."""
    for step in walk:
        arguments = {"name": f"c{step.number}", "command_content": "x", "client_token": f"t{step.number}"}
        with step.step():
            plane.dispatcher.create_command(**arguments)
        made = plane.dispatcher.create_command(**arguments)

        assert [made] == plane.dispatcher.describe_commands(name=made.name).items
        with step.step():
            plane.dispatcher.delete_command(made.command_id)
        with contextlib.suppress(RequestError):
            plane.dispatcher.delete_command(made.command_id)
        assert plane.dispatcher.describe_commands(name=made.name).items == []


def test_activation_is_made_once_with_a_client_token(plane, walk: Walk) -> None:
    """With the same id and code."""
    for step in walk:
        arguments = {"instance_name": f"a{step.number}", "client_token": f"t{step.number}"}
        with step.step():
            plane.dispatcher.create_activation(**arguments)
        made = plane.dispatcher.create_activation(**arguments)

        assert made == plane.dispatcher.create_activation(**arguments)
        (kept,) = plane.dispatcher.describe_activations(instance_name=arguments["instance_name"]).items
        assert kept.activation_id == made.activation_id


def test_batch_of_reports_that_failed_is_applied_by_the_next_step(plane, host, walk: Walk) -> None:
    """Every report once, none set aside; what is no host's report is counted, told and kept as a sample."""
    one = host()
    for step in walk:
        invocation = plane.dispatcher.run_command(**RUN)
        one.beat()
        one.start(invocation.invoke_id)
        one.finish(invocation.invoke_id, output="out")
        plane.store.client.lpush("fleethand:reports", f"forged {step.number}")
        plane.aggregator._alerts._windows.clear()
        told = len(alerts_of(plane))

        with step.step():
            plane.settle()
        plane.settle()

        (result,) = invocation.results()
        assert (result.invocation_status, result.output, result.repeats) == ("Success", "out", 1)
        assert len(alerts_of(plane)) > told
        assert f"forged {step.number}" in [dead.body for dead in plane.dispatcher.dead_reports(max_results=1000)]
    assert not [dead for dead in plane.dispatcher.dead_reports(max_results=1000) if "forged" not in dead.body]


def alerts_of(plane: Any) -> list[Any]:
    """Return the alerts of the audit log."""
    return [entry for entry in plane.dispatcher.iter_audit_log() if entry.action == "report.forged"]


class Desk:
    """A registration service without its door."""

    def __init__(self, plane: Any, client: "redis.Redis[Any]") -> None:
        self._registration = Registration(plane.store, RedisUsers(client), plane.keyring, plane.settings)

    def post(self, path: str, body: Any, _headers: Any = None) -> Answer:
        """Do as the service does for a request to *path*."""
        source = ipaddress.ip_address("127.0.0.1")
        calls: dict[str, Callable[[], msgspec.Struct]] = {
            enrolling.REGISTER_PATH: lambda: self._registration.register(body, source),
            enrolling.CONFIRM_PATH: lambda: self._registration.confirm(body, source),
            enrolling.DEREGISTER_PATH: lambda: self._registration.deregister(body, source),
        }
        return Answer(200, msgspec.json.decode(enrolling.encode(calls[path]())))


def test_enrolment_and_its_end_are_carried_on_and_told(plane, redis_client, walk: Walk) -> None:
    """A host that asks again is enrolled once, is gone once, and the audit log tells of both."""
    made = plane.dispatcher.create_activation(instance_count=1000)
    users = RedisUsers(redis_client)
    for step in walk:
        one = HandHost(Desk(plane, redis_client), made, hostname=f"h{step.number}")
        assert one.register().status == 200
        with step.step():
            one.confirm()
        plane.store.client.hdel(keys.enrolment(one.challenge.enrolment_id), "until")  # as if 30 s had passed
        name = one.grant(one.confirm()).instance_id
        assert told_of(plane, "host.registered", name)

        with step.step():
            one.deregister(name)
        with contextlib.suppress(RequestError):
            one.deregister(name)

        assert told_of(plane, "host.deregistered", name)
        assert f"host-{name}" not in users.all()
        (used,) = plane.store.activations.uses([made.activation_id])
        assert used.registered == step.number


def told_of(plane: Any, action: str, name: str) -> bool:
    """Tell whether the audit log has an action on an instance."""
    return any(entry.action == action and name in entry.targets for entry in plane.dispatcher.iter_audit_log())


def test_order_that_waited_for_its_host_is_sent_when_the_host_is_back(plane, make_host, walk: Walk) -> None:
    """Also if what the host's hello asks for fails: it is said once, and an order that is not sent then would wait."""
    for step in walk:
        name = f"host-{step.number}"
        one = make_host(name)
        invocation = plane.dispatcher.run_command(command_content="x", instance_ids=[name])
        one.beat(hello=True)

        plane.aggregator._look_at_s = float("inf")  # what the reaper was about, it takes up again after ten seconds
        with step.step():
            plane.settle()
        plane.aggregator._look_at_s = 0.0

        wait_until(lambda one=one: plane.settle() or one.orders(), 5, f"the order of {invocation.invoke_id}")
