"""The control plane's Celery app."""

import pytest

from fleethand_dispatcher import celery_app
from fleethand_dispatcher.settings import Settings

URL = "redis://:secret@127.0.0.1:7777/0"


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"])
def test_app_ignores_the_broker_of_somebody_elses_celery(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery prefers these variables to any setting; they are not ours."""
    monkeypatch.setenv(name, "redis://elsewhere:1/0")
    app = celery_app.make_app(Settings(redis_url=URL))

    made = [app.connection(), app.connection_for_read(), app.connection_for_write()]

    assert ["127.0.0.1"] * 3 == [connection.hostname for connection in made]
    assert [7777] * 3 == [connection.port for connection in made]


def test_app_gives_up_on_a_half_open_connection() -> None:
    """Kombu's own default waits for ever."""
    options = celery_app.make_app(Settings(redis_url=URL)).connection().transport_options

    assert 15 == options["socket_timeout"]
    assert options["ack_emulation"] is False


def test_app_does_not_become_everybodys_current_app() -> None:
    """The dispatcher is a library in a program that may use Celery too."""
    from celery import current_app  # noqa: PLC0415

    app = celery_app.make_app(Settings(redis_url=URL))

    assert current_app._get_current_object() is not app


def test_app_checks_the_certificate_unless_the_url_says_otherwise() -> None:
    """A bare rediss:// would check nothing."""
    checked = celery_app.make_app(Settings(redis_url="rediss://h:1/0"))
    chosen = celery_app.make_app(Settings(redis_url="rediss://h:1/0?ssl_cert_reqs=none"))

    assert "CERT_REQUIRED" == checked.conf.broker_use_ssl["ssl_cert_reqs"].name
    assert not chosen.conf.broker_use_ssl


def test_app_is_made_from_the_environment_when_a_tool_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`celery -A fleethand_dispatcher.celery_app` finds it; the import alone makes nothing."""
    celery_app._app.cache_clear()
    monkeypatch.setenv("FLEETHAND_REDIS_URL", URL)

    assert 7777 == celery_app.app.connection().port
    celery_app._app.cache_clear()


def test_app_module_has_nothing_else_that_is_made_up() -> None:
    """A misspelt name is an AttributeError."""
    with pytest.raises(AttributeError):
        celery_app.ap  # noqa: B018
