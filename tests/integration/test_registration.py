"""The registration service over real HTTPS, with hosts whose every step a test takes."""

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import redis

from dumps import dump_of
from fleethand_common import enrolling, sealing
from fleethand_common.errors import RequestError
from fleethand_common.fingerprints import write
from fleethand_dispatcher.keyring import Keyring
from registrar import Answer, HandHost, Registrar


def test_host_is_given_an_identity_once_it_proved_its_key(plane: Any, registrar: Registrar, redis_url: str) -> None:
    """Name, tags, keys to trust and a Redis user of its own; nothing is enrolled before that."""
    made = plane.dispatcher.create_activation(instance_name="web", tags={"env": "prod"})
    host = HandHost(registrar, made, tags={"rack": "7", "env": "mine"}, machine_id="m-1", os_type="Linux")

    assert host.register().status == 200
    assert plane.dispatcher.describe_managed_instances().items == []
    assert plane.dispatcher.describe_activations().items[0].registered_count == 0
    grant = host.grant(host.confirm())

    (shown,) = plane.dispatcher.describe_managed_instances().items
    assert grant.instance_id.startswith("mi-")
    assert len(grant.instance_id) == 23
    assert (grant.name, grant.tags) == ("web-001", {"env": "prod", "rack": "7"})
    assert grant.keys == plane.keyring.public_keys()
    assert (shown.instance_id, shown.instance_name, shown.tags) == (grant.instance_id, grant.name, grant.tags)
    assert (shown.machine_id, shown.internet_ip, shown.os_type, shown.connected) == ("m-1", "127.0.0.1", "linux", False)
    assert plane.dispatcher.describe_activations().items[0].registered_count == 1
    with redis.Redis.from_url(grant.redis_url) as client:
        assert client.ping()
    assert f"//host-{grant.instance_id}:" in grant.redis_url
    assert host.tell(enrolling.STATUS_PATH, "status", grant.instance_id).body["enrolled"] is True


def test_registration_leaves_nothing_readable_behind(plane: Any, registrar: Registrar, redis_url: str) -> None:
    """Neither in Redis nor in the service's log: no code, no password, no name of the machine."""
    made = plane.dispatcher.create_activation(tags={"tier": "gold"})
    grant = HandHost(registrar, made, machine_id="machine-77", hostname="cellar").enrolled()
    password = grant.redis_url.split(":")[2].split("@")[0]
    text = dump_of(redis_url) + registrar.program.output().encode()

    for secret in (made.activation_code, password, "gold", "machine-77", "cellar"):
        assert secret.encode() not in text, secret


def test_names_are_numbered_with_as_many_digits_as_there_may_be_hosts(plane: Any, registrar: Registrar) -> None:
    """At least three; a name that the host is given wins; without a prefix it is the hostname (spec 12.1)."""
    few = plane.dispatcher.create_activation(instance_name="web", instance_count=5)
    many = plane.dispatcher.create_activation(instance_name="db", instance_count=1000)
    none = plane.dispatcher.create_activation()

    assert [HandHost(registrar, few).enrolled().name for _ in range(2)] == ["web-001", "web-002"]
    assert HandHost(registrar, few, name="special").enrolled().name == "special"
    assert HandHost(registrar, few).enrolled().name == "web-004"
    assert HandHost(registrar, many).enrolled().name == "db-0001"
    assert HandHost(registrar, none, hostname="cellar").enrolled().name == "cellar"


def test_activation_is_used_as_often_as_it_may_and_never_more(plane: Any, registrar: Registrar) -> None:
    """Thirty hosts at the same time, five uses: exactly five are enrolled, each with a name of its own."""
    made = plane.dispatcher.create_activation(instance_name="web", instance_count=5)
    hosts = [HandHost(registrar, made) for _ in range(30)]
    answers = at_once([host.register for host in hosts])
    assert [answer.status for answer in answers] == [200] * 30

    confirmed = at_once([host.confirm for host in hosts])

    grants = [host.grant(answer) for host, answer in zip(hosts, confirmed, strict=True) if answer.status == 200]
    assert sorted(grant.name for grant in grants) == [f"web-00{number}" for number in range(1, 6)]
    assert {answer.code for answer in confirmed if answer.status != 200} == {"Registration.UsedUp"}
    assert len(plane.dispatcher.describe_managed_instances(max_results=50).items) == 5
    assert HandHost(registrar, made).register().code == "Registration.UsedUp"
    assert plane.dispatcher.describe_activations().items[0].usable is False


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"activation_code": "a-wrong"}, "Registration.Refused"),
        ({"activation_code": ""}, "Registration.Refused"),
        ({"activation_id": "4ECEEE12-56F1-4FBC-9AB1-890F1234ABCD"}, "Registration.Refused"),
        ({"activation_id": "nonsense"}, "Registration.Refused"),
        ({"name": "1x"}, "InstanceName.InvalidPattern"),
        ({"tags": {"acs:x": "1"}}, "InvalidTagKey.Malformed"),
        ({"box_public": b"\0" * 32}, "Registration.Malformed"),
    ],
)
def test_registration_is_refused_when_something_is_wrong(
    plane: Any, registrar: Registrar, wrong: dict[str, Any], code: str
) -> None:
    """A wrong id and a wrong code are one answer, so that nobody learns which ids there are."""
    made = plane.dispatcher.create_activation()

    assert HandHost(registrar, made, **wrong).register().code == code
    assert plane.dispatcher.describe_managed_instances().items == []


def test_activation_enrols_nobody_once_it_is_disabled_expired_or_deleted(
    plane: Any, registrar: Registrar, server_time_goes_on: Callable[[int], None]
) -> None:
    """Also not who had begun before."""
    dispatcher = plane.dispatcher
    disabled, deleted = dispatcher.create_activation(), dispatcher.create_activation()
    begun = [HandHost(registrar, made) for made in (disabled, deleted)]
    for host in begun:
        assert host.register().status == 200
    dispatcher.disable_activation(disabled.activation_id)
    dispatcher.delete_activation(deleted.activation_id)

    assert [host.confirm().code for host in begun] == ["Registration.Disabled"] * 2
    assert HandHost(registrar, disabled).register().code == "Registration.Disabled"
    assert HandHost(registrar, deleted).register().code == "Registration.Refused"
    short = dispatcher.create_activation(time_to_live_in_hours=1)
    server_time_goes_on(3_600_001)
    assert HandHost(registrar, short).register().code == "Registration.Expired"


@pytest.fixture
def server_time_goes_on(plane: Any, keyring: Keyring) -> Callable[[int], None]:
    """Have every activation be older than it is: the records are ours, so a test can write them as time would."""

    def go_on(by_ms: int) -> None:
        for stored in list(plane.store.activations.all()):
            plane.store.activations.create(msgspec.structs.replace(stored, created_at_ms=stored.created_at_ms - by_ms))

    return go_on


def test_activation_counts_for_its_network_only(plane: Any, registrar: Registrar) -> None:
    """A header that says otherwise is not believed, as no proxy is named."""
    elsewhere = plane.dispatcher.create_activation(ip_address_range="10.9.0.0/16")
    here = plane.dispatcher.create_activation(ip_address_range="127.0.0.0/8")

    answer = HandHost(registrar, elsewhere).register({"X-Forwarded-For": "10.9.0.1"})
    assert answer.code == "Registration.AddressNotAllowed"
    assert HandHost(registrar, here).register().status == 200


def test_address_is_the_proxys_word_where_a_proxy_is_trusted(plane: Any, make_registrar: Any) -> None:
    """Its last entry, as the ones before are the host's own."""
    registrar = make_registrar(registrar_proxies="127.0.0.1")
    made = plane.dispatcher.create_activation(ip_address_range="10.9.0.0/16")

    assert HandHost(registrar, made).register({"X-Forwarded-For": "10.9.0.1"}).status == 200
    refused = HandHost(registrar, made).register({"X-Forwarded-For": "10.9.0.1, 172.16.0.1"})
    assert refused.code == "Registration.AddressNotAllowed"


def test_guessing_codes_ends_the_activation(plane: Any, make_registrar: Any) -> None:
    """With an alert in the audit log; a host with the right code is refused then, too."""
    registrar = make_registrar(registrar_failures_max=5)
    made = plane.dispatcher.create_activation()

    codes = [HandHost(registrar, made, activation_code=f"a-{number}").register().code for number in range(6)]

    assert codes == ["Registration.Refused"] * 6
    assert HandHost(registrar, made).register().code == "Registration.Disabled"
    assert "event=activation_locked" in registrar.program.output()
    (entry,) = [entry for entry in plane.store.audit.entries() if entry.action == "activation.locked"]
    assert (entry.outcome, entry.targets, "5 wrong codes" in entry.detail) == ("alert", [made.activation_id], True)


def test_stranger_outside_of_the_network_cannot_end_an_activation(plane: Any, make_registrar: Any) -> None:
    """Wrong codes count only from where right ones may come."""
    registrar = make_registrar(registrar_failures_max=2)
    made = plane.dispatcher.create_activation(ip_address_range="10.9.0.0/16")

    for _ in range(4):
        assert HandHost(registrar, made, activation_code="a-x").register().code == "Registration.Refused"

    assert plane.dispatcher.describe_activations().items[0].usable is True


def test_who_knocks_too_often_is_told_to_wait(plane: Any, make_registrar: Any) -> None:
    """By address and by activation."""
    by_address = make_registrar(registrar_address_per_min=3)
    by_activation = make_registrar(registrar_activation_per_min=2)
    made, other = plane.dispatcher.create_activation(), plane.dispatcher.create_activation()

    assert [HandHost(by_address, made).register().status for _ in range(4)] == [200, 200, 200, 429]
    assert [HandHost(by_activation, made).register().status for _ in range(3)] == [200, 200, 429]
    assert HandHost(by_activation, other).register().status == 200


def test_confirmation_proves_the_hosts_own_key(plane: Any, registrar: Registrar) -> None:
    """Another host's, an altered one, one of another purpose and one of another enrolment prove nothing."""
    made = plane.dispatcher.create_activation()
    host, other = HandHost(registrar, made), HandHost(registrar, made)
    for each in (host, other):
        each.register()
    assert host.challenge is not None
    nonce = sealing.open_sealed(host.challenge.sealed, host.pair.down)
    enrolment_id, up = host.challenge.enrolment_id, host.pair.up
    forged = [
        other.proof().sealed,
        host.proof().sealed[:-1] + b"\0",
        enrolling.prove(up, "status", enrolment_id, nonce),
        enrolling.prove(up, "confirm", "e-other", nonce),
        enrolling.prove(up, "confirm", enrolment_id, b"\0" * 32),
        enrolling.prove(other.pair.up, "confirm", enrolment_id, nonce),
        b"",
    ]

    for sealed in forged:
        request = enrolling.ConfirmRequest(enrolment_id=enrolment_id, sealed=sealed)
        assert registrar.post(enrolling.CONFIRM_PATH, request).code == "Registration.NotProven"
    assert plane.dispatcher.describe_managed_instances().items == []
    assert host.confirm().status == 200


def test_confirmation_that_comes_again_changes_nothing(plane: Any, registrar: Registrar) -> None:
    """A host that lost the answer gets the same one; who replays it gets what only that host can open."""
    made = plane.dispatcher.create_activation()
    host = HandHost(registrar, made)
    host.register()
    first = host.confirm()
    again = at_once([host.confirm for _ in range(5)])

    assert {answer.body["sealed"] for answer in again} == {first.body["sealed"]}
    assert plane.dispatcher.describe_activations().items[0].registered_count == 1
    with redis.Redis.from_url(host.grant(first).redis_url) as client:
        assert client.ping()
    plane.dispatcher.deregister_managed_instance(host.grant(first).instance_id)
    assert host.confirm().code == "Registration.Deregistered"


def test_host_ends_its_own_enrolment_and_nobody_elses(plane: Any, registrar: Registrar) -> None:
    """Its keys and its Redis user are worth nothing afterwards; a use is not given back."""
    made = plane.dispatcher.create_activation()
    host, other = HandHost(registrar, made), HandHost(registrar, made)
    mine, others = host.enrolled(), other.enrolled()

    answer = other.tell(enrolling.DEREGISTER_PATH, "deregister", mine.instance_id)
    assert answer.code == "Registration.NotProven"
    assert host.tell(enrolling.DEREGISTER_PATH, "status", mine.instance_id).code == "Registration.NotProven"
    assert host.deregister(mine.instance_id).enrolled is False

    assert [row.instance_id for row in plane.dispatcher.describe_managed_instances().items] == [others.instance_id]
    assert host.tell(enrolling.STATUS_PATH, "status", mine.instance_id).code == "Registration.Deregistered"
    with redis.Redis.from_url(mine.redis_url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    (shown,) = plane.dispatcher.describe_activations().items
    assert (shown.registered_count, shown.deregistered_count) == (2, 1)


def test_activation_can_be_deleted_when_none_of_its_instances_is_left(plane: Any, registrar: Registrar) -> None:
    """Until then it is in use (spec 12.2)."""
    made = plane.dispatcher.create_activation()
    grant = HandHost(registrar, made).enrolled()

    with pytest.raises(RequestError) as refused:
        plane.dispatcher.delete_activation(made.activation_id)
    assert (refused.value.code, refused.value.http_status) == ("ActivationId.InUse", 403)
    plane.dispatcher.deregister_managed_instance(grant.instance_id)
    assert plane.dispatcher.delete_activation(made.activation_id).registered_count == 1


ORIGINAL = write({"machine": ["m"], "board": ["b-1"], "mac": ["aa"]})
REPAIRED = write({"machine": ["m"], "board": ["b-1"], "mac": ["bb"]})
COPY = write({"machine": ["m"], "board": ["b-2"], "mac": ["cc"]})


def test_machine_gets_its_old_id_again_only_by_force(plane: Any, registrar: Registrar) -> None:
    """A copy of its disk becomes an instance of its own, unless an operator names the machine id (spec 12.4)."""
    made = plane.dispatcher.create_activation(instance_count=20)
    old = HandHost(registrar, made, machine_id="m", fingerprint=ORIGINAL).enrolled()

    def comes(**facts: Any) -> str:
        return HandHost(registrar, made, machine_id="m", **facts).enrolled().instance_id

    assert comes(fingerprint=COPY, force=True) != old.instance_id
    again = comes(fingerprint=REPAIRED, force=True)
    assert again == old.instance_id
    assert comes(fingerprint=ORIGINAL) != old.instance_id
    assert comes(fingerprint=COPY, force=True, machine_id_given=True) in {
        row.instance_id for row in plane.dispatcher.describe_managed_instances(max_results=50, machine_id="m").items
    }
    with redis.Redis.from_url(old.redis_url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_machine_that_is_connected_cannot_be_replaced(plane: Any, registrar: Registrar) -> None:
    """Whoever has a code and knows a machine id must not push a living host aside."""
    made = plane.dispatcher.create_activation()
    old = HandHost(registrar, made, machine_id="m", fingerprint=ORIGINAL).enrolled()
    with redis.Redis.from_url(plane.settings.redis_url) as client:
        client.zadd("fleethand:seen", {old.instance_id: plane.store.now_ms()})

    answer = HandHost(registrar, made, machine_id="m", fingerprint=ORIGINAL, force=True).register()

    assert answer.code == "Registration.MachineRegistered"
    assert old.instance_id in answer.body["message"]


def at_once(calls: list[Callable[[], Answer]]) -> list[Answer]:
    """Make calls at the same time and return what came back, in their order."""
    answers: dict[int, Answer] = {}
    barrier = threading.Barrier(len(calls))

    def run(number: int, call: Callable[[], Answer]) -> None:
        barrier.wait(20)
        answers[number] = call()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [answers[number] for number in range(len(calls))]
