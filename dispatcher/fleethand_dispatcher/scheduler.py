"""What `celery beat` runs here: schedules and the control plane's housekeeping, done by one beat at a time.

Nothing is kept in a file. Several beats may run: one holds the lease and works, the others are hot spares.
"""

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from typing import Any

from celery.beat import Scheduler

from fleethand_common.clock import elapsed_s, wall_ms
from fleethand_common.errors import FleethandError
from fleethand_dispatcher.celery_app import settings_from_environment
from fleethand_dispatcher.connection import connect, guarded
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.lease import Holder, Lease
from fleethand_dispatcher.retention import sweep
from fleethand_dispatcher.scheduling import zones
from fleethand_dispatcher.scheduling.firing import Engine
from fleethand_dispatcher.store import Store

TICK_S = 1.0
LEASE_MS = 3_000
"""A beat that died is replaced after this time and one look of its spare."""
SWEEP_EVERY_S = 60.0
ZONES_EVERY_S = 60.0
_SPARE_LOOKS_S = 0.5

logger = logging.getLogger(__name__)


class FleetScheduler(Scheduler):  # type: ignore[misc]
    """Celery's beat without entries of its own: the schedules in the records, and retention, under a lease."""

    def __init__(self, app: Any, **options: Any) -> None:
        self._store: Store | None = None
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._epoch = 0
        self._sweep_due_s = self._zones_due_s = 0.0
        self._zone_steps: Iterator[int] = iter(())
        self._reachable = True
        super().__init__(app, **options)
        self.max_interval = TICK_S

    def setup_schedule(self) -> None:
        """Open the records; Celery's own entries are not wanted."""
        self._settings = settings_from_environment()
        self._keyring = Keyring.load(self._settings.keys_path())
        url = self._settings.server_url()
        self._store = Store.at(url, self._keyring.vault)
        self._keyring.signer(wall_ms())  # without a key to sign with, no schedule could run
        # a connection of its own: a signal gives the lease back in the middle of whatever the other one does
        self._lease = Lease(connect(url))
        self._engine = Engine(self._store, self._settings, self._keyring)

    def tick(self, *_: Any, **__: Any) -> float:
        """Renew the lease and do what is due; a beat that has nothing to do sleeps in here, so that it can be woken.

        Returns:
            The seconds until the next look.
        """
        try:
            wait_s = self._work()
        except FleethandError as error:
            self._log_once(error)
            return TICK_S
        except Exception:
            logger.exception("this turn failed; the next one begins in a second")
            return TICK_S
        if not self._reachable:
            logger.warning("the server is back")
            self._reachable = True
        return wait_s

    @guarded
    def _work(self) -> float:
        if self._store is None:
            return TICK_S
        holder = self._lease.take(self._name, LEASE_MS)
        self._note(holder)
        if holder.name != self._name:
            return _SPARE_LOOKS_S
        turn = self._engine.turn(holder)
        if turn.fired or turn.made:
            return 0.0
        self._keep_house(self._store, holder)
        self._engine.sleep(holder)
        return 0.0

    def _keep_house(self, store: Store, holder: Holder) -> None:
        """Do what can wait, a little at a time: a schedule must not."""
        if next(self._zone_steps, None) is not None:
            return
        if elapsed_s() >= self._zones_due_s:
            self._zones_due_s = elapsed_s() + ZONES_EVERY_S
            self._zone_steps = zones.refresh(store, self._settings, holder.at_ms)
        elif elapsed_s() >= self._sweep_due_s and not sweep(store, self._settings):
            self._sweep_due_s = elapsed_s() + SWEEP_EVERY_S

    def _note(self, holder: Holder) -> None:
        if holder.epoch != self._epoch:
            logger.info("beat %s works, epoch %s%s", *holder[:2], "" if holder.name == self._name else "; we wait")
            self._epoch = holder.epoch

    def _log_once(self, error: FleethandError) -> None:
        if self._reachable:
            logger.warning("%s; trying again every second", error)
        self._reachable = False

    def close(self) -> None:
        """Give the lease back, so that a spare need not wait for its end; Celery calls this twice.

        The first call comes from within a signal's handler, so the connection that is read from then is left alone.
        """
        super().close()
        store, self._store = self._store, None
        if store is None:
            return
        try:
            guarded(self._lease.give_back)(self._name)
        except FleethandError as error:
            logger.debug("the lease ends by itself: %s", error)

    @property
    def info(self) -> str:
        """Say in Celery's banner what this is."""
        return f"    . lease -> {LEASE_MS / 1000:.0f} s, as {self._name}"
