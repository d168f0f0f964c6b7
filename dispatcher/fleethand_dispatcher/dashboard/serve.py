"""Starts the dashboard from settings: `fleethand dashboard`."""

import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleethand_common.errors import FleethandError
from fleethand_common.settings import load
from fleethand_dispatcher.celery_app import make_app
from fleethand_dispatcher.dashboard.settings import DashboardSettings

_POOL_LIMIT = 32  # Flower deadlocks on a small pool

logger = logging.getLogger(__name__)


def serve(flags: Mapping[str, Any], environ: Mapping[str, str], config: Path | None = None) -> None:
    """Show the dashboard until TERM or INT.

    Raises:
        SettingsError: it would be open to a network without a login.
        FleethandError: Flower is not installed, or the port cannot be used.
    """
    named = environ.get("FLEETHAND_CONFIG")
    file = config or (Path(named) if named else None)
    settings, _ = load(DashboardSettings, flags=flags, environ=environ, file=file)
    os.environ.pop("FLOWER_UNAUTHENTICATED_API", None)  # Flower reads it wherever it is
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tornado.access").setLevel(logging.WARNING)  # the pages ask once a second
    flower = _flower(settings)
    try:
        port = flower.start_http_server()
    except OSError as error:
        where = f"{settings.dashboard_address}:{settings.dashboard_port}"
        raise FleethandError(f"cannot start the dashboard on {where}: {error.strerror}") from error
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: flower.io_loop.add_callback_from_signal(flower.stop))
    logger.info("the dashboard is at http://%s:%s/", settings.dashboard_address, port)
    flower.start()


def _flower(settings: DashboardSettings) -> Any:
    try:
        from flower.urls import settings as site  # noqa: PLC0415 - an extra
        from tornado.ioloop import IOLoop  # noqa: PLC0415
        from tornado.options import options  # noqa: PLC0415

        from fleethand_dispatcher.dashboard.fleet_flower import FleetEvents, FleetFlower  # noqa: PLC0415
    except ImportError as error:
        raise FleethandError("cannot start the dashboard: run pip install 'fleethand[dashboard]'") from error
    for name, value in _options(settings).items():
        setattr(options, name, value)
    app = make_app(settings, pool_limit=_POOL_LIMIT)
    events = FleetEvents(app, IOLoop.current(), workers=settings.dashboard_workers, tasks=settings.dashboard_tasks)
    return FleetFlower(options=options, capp=app, events=events, io_loop=IOLoop.current(), **site)


def _options(settings: DashboardSettings) -> dict[str, Any]:
    login = [f"{settings.dashboard_user}:{settings.dashboard_password}"] if settings.dashboard_password else []
    return {
        "address": settings.dashboard_address,
        "port": settings.dashboard_port,
        "basic_auth": login,
        "read_only": True,  # its buttons would broadcast to the whole fleet
        "enable_events": False,
        "max_workers": settings.dashboard_workers,
        "max_tasks": settings.dashboard_tasks,
        "purge_offline_workers": settings.dashboard_offline_s,
        "tasks_columns": "name,uuid,state,kwargs,received,started,runtime,worker,exception",
    }
