"""What the Celery app of a host has set: each of these is a trap that was seen."""

import ssl
from unittest.mock import Mock

import kombu.transport
import pytest
import redis

from fleethand_worker.broker import Transport
from fleethand_worker.celery_app import UNSENT_KEPT, HostApp, make_app
from fleethand_worker.settings import WorkerSettings


def app_of(**changes: object) -> HostApp:
    """Return the app of a host."""
    values = {"instance_id": "i-1", "redis_url": "redis://localhost:1/0", **changes}
    return make_app(WorkerSettings(**values))


def test_certificate_is_checked_when_the_url_says_tls() -> None:
    """A bare rediss:// URL checks nothing in kombu."""
    app = app_of(redis_url="rediss://localhost:1/0", tls_ca_certs=__file__)
    checks = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    with app.connection_for_read() as connection:
        assert connection.ssl == {**checks, "ssl_ca_certs": __file__}
    assert not app_of().conf.broker_use_ssl


def test_transport_is_ours_when_a_connection_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of URL get the transport that survives every message."""
    monkeypatch.setattr(kombu.transport, "_transport_cache", {})  # another test may have asked before
    for scheme in ("redis", "rediss"):
        with app_of(redis_url=f"{scheme}://localhost:1/0").connection_for_read() as connection:
            assert connection.get_transport_cls() is Transport


def test_events_that_cannot_be_sent_do_not_pile_up() -> None:
    """A user that may not publish costs Flower its events; each that was kept is tried again with every new one."""
    dispatcher = app_of().use_dispatcher(Mock(hostname="i-1"), Mock())
    dispatcher.producer = Mock()
    dispatcher.producer.publish.side_effect = redis.ResponseError("NOPERM")
    for _ in range(3 * UNSENT_KEPT):
        dispatcher.send("worker-heartbeat")

    dispatcher.producer.reset_mock()
    dispatcher.flush()

    assert dispatcher.producer.publish.call_count == UNSENT_KEPT


def test_host_reads_its_two_queues_only_and_stops_first() -> None:
    """The control queue comes first; nothing is declared, nothing is acknowledged."""
    queues = app_of().conf.task_queues
    assert [queue.name for queue in queues] == ["fleethand:host:i-1:control", "fleethand:host:i-1:orders"]
    assert all(queue.no_declare and queue.no_ack for queue in queues)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_create_missing_queues", False),
        ("worker_enable_remote_control", False),
        ("worker_prefetch_multiplier", 0),
        ("broker_connection_max_retries", None),
        ("broker_channel_error_retry", True),
        ("broker_pool_limit", 2),
        ("result_backend", None),
        ("accept_content", ["json"]),
    ],
)
def test_setting_is_as_measured_when_the_app_is_made(name: str, value: object) -> None:
    """Celery's own default of each hurts a fleet."""
    assert app_of().conf[name] == value


def test_transport_options_bound_every_wait_when_the_app_is_made() -> None:
    """Without a socket timeout a half-open connection holds the loop up for ever."""
    options = app_of().conf.broker_transport_options
    assert options["ack_emulation"] is False
    assert 0 < options["socket_timeout"] <= 15
    assert 0 < options["socket_connect_timeout"] <= 5
    assert options["polling_interval"] == 5
    assert options["priority_steps"] == [0]
