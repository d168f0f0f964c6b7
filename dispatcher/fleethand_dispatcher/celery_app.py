"""The control plane's Celery app: `celery -A fleethand_dispatcher.celery_app …` works with Celery's own tools.

`make_app` is the one place where it is made. `app` is made when a tool first asks for it, from the environment
(`FLEETHAND_…`) and the file in `FLEETHAND_CONFIG`. It knows no task and reads no host's queue.
"""

import functools
import os
from pathlib import Path
from typing import Any

from celery import Celery

from fleethand_common.celery_config import BASE_CONFIG, CHANNEL_OPTIONS
from fleethand_common.settings import load
from fleethand_dispatcher.settings import Settings

BROKER_OPTIONS: dict[str, object] = {
    **CHANNEL_OPTIONS,
    "socket_timeout": 15,  # kombu's default waits for ever on a half-open connection
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
}

_TOOLS_POOL_LIMIT = 32  # Flower deadlocks on less

SERVER_CONFIG: dict[str, object] = {
    "broker_connection_timeout": 5,
    "broker_pool_acquire_timeout": 10,  # a used-up pool is an error, not a process that hangs
    "beat_scheduler": "fleethand_dispatcher.scheduler:FleetScheduler",
    "task_default_queue": "fleethand:unused",  # a stock worker on this app gets nothing to do
    "worker_hijack_root_logger": False,
}


class FleetCelery(Celery):  # type: ignore[misc]
    """Celery, except that its server comes from our settings only: `CELERY_BROKER_URL` belongs to somebody else."""

    def connection(self, hostname: str | None = None, **options: Any) -> Any:
        """Return a connection, as tools ask for it that do both."""
        return super().connection(hostname or self.conf.get("broker_write_url"), **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection to send on."""
        return self._connection(url or self.conf.get("broker_write_url"), **options)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection to receive on."""
        return self._connection(url or self.conf.get("broker_read_url"), **options)


def make_app(settings: Settings, *, pool_limit: int = 10) -> Celery:
    """Make a Celery app on the server that *settings* name.

    Args:
        pool_limit: connections it may keep; `app.control` needs two at once, Flower 32.
    """
    app = FleetCelery("fleethand", loader="celery.loaders.app:AppLoader", set_as_current=False, fixups=[])
    app.conf.update(
        {
            **BASE_CONFIG,
            **SERVER_CONFIG,
            "broker_read_url": settings.redis_url,
            "broker_write_url": settings.redis_url,
            "broker_url": settings.redis_url,
            "broker_transport_options": dict(BROKER_OPTIONS),
            "broker_pool_limit": pool_limit,
        }
    )
    if options := settings.ssl_options(settings.redis_url):
        app.conf.broker_use_ssl = options
    return app


def settings_from_environment() -> Settings:
    """Read the settings as a program does that has no flags of ours.

    Raises:
        SettingsError: a value does not fit.
    """
    file = os.environ.get("FLEETHAND_CONFIG")
    settings, _ = load(Settings, flags={}, environ=os.environ, file=Path(file) if file else None)
    return settings


@functools.cache
def _app() -> Celery:
    return make_app(settings_from_environment(), pool_limit=_TOOLS_POOL_LIMIT)


def __getattr__(name: str) -> Any:
    if name == "app":
        return _app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
