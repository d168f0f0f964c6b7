"""The host's sign of life: a report now and then, and with each one the clock set right and the journal cleaned."""

import logging
import random
import secrets
from collections.abc import Callable
from contextlib import suppress

from fleethand_common import __version__
from fleethand_common.clock import Clock, elapsed_s
from fleethand_common.messages import Heartbeat
from fleethand_worker import identity
from fleethand_worker.executor import Executor
from fleethand_worker.janitor import Janitor
from fleethand_worker.journal import Journal
from fleethand_worker.loop import Loop, Timer
from fleethand_worker.refusals import Refusals
from fleethand_worker.reporter import Reporter
from fleethand_worker.trust import Trust

logger = logging.getLogger(__name__)

JITTER = 0.1


class Pulse:
    """Sends heartbeats as long as the loop that it was given lasts."""

    def __init__(
        self,
        *,
        executor: Executor,
        journal: Journal,
        janitor: Janitor,
        reporter: Reporter,
        clock: Clock,
        interval_s: float,
        tags: dict[str, str],
        trust: Trust,
        refusals: Refusals,
        fingerprint: str,
        server_time_ms: Callable[[], float | None],
    ) -> None:
        self.interval_s = interval_s
        self._executor = executor
        self._journal = journal
        self._janitor = janitor
        self._reporter = reporter
        self._clock = clock
        self._server_time_ms = server_time_ms
        self._tags = tags
        self._trust = trust
        self._refusals = refusals
        self._fingerprint = fingerprint
        self._session = secrets.token_hex(8)
        self._timer: Timer | None = None
        self._os_version = identity.os_version()
        self._time_zone = identity.time_zone()

    def connected(self) -> None:
        """Set the clock, say hello, and say again what may have been lost; in this order, as answers depend on it."""
        self._set_clock()
        self._reporter.tell(self._heartbeat(hello=True))
        self._executor.announce()
        self._reporter.reconnected()
        self._executor.pump()

    def start(self, loop: Loop, also: Callable[[], None]) -> None:
        """Beat on *loop* from now on, and call *also* at every beat."""
        pause = self.interval_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, hides nothing
        if self._timer is not None:
            self._timer.cancel()  # a reconnect may leave the one before behind, and two would go on for ever
        self._timer = loop.call_later(pause, self._beat, loop, also)

    def _beat(self, loop: Loop, also: Callable[[], None]) -> None:
        self.start(loop, also)
        self._set_clock()
        self.tell()
        self._refusals.flush()
        self._reporter.forget_old()
        self._reporter.flush()
        self._executor.reap()
        also()
        self._journal.write_count()
        if removed := self._janitor.clean():
            logger.debug("event=cleaned executions=%d", removed)

    def tell(self) -> None:
        """Say how this host is, out of turn if something changed that nobody should wait for."""
        self._reporter.tell(self._heartbeat(hello=False))

    def end(self) -> None:
        """Write down what the next start needs."""
        self._journal.write_count()
        with suppress(OSError):
            self._trust.write_floor()

    def _set_clock(self) -> None:
        asked_s = elapsed_s()
        server_ms = self._server_time_ms()
        if server_ms is not None:
            self._clock.set(server_ms, elapsed_s() - asked_s)

    def _heartbeat(self, *, hello: bool) -> Heartbeat:
        executor = self._executor
        return Heartbeat(
            instance_id=executor.host.instance_id,
            hello=hello,
            at_ms=self._clock.now_ms(),
            interval_s=self.interval_s,
            name=executor.host.name,
            tags=self._tags,
            os_type=identity.os_type(),
            os_version=self._os_version,
            worker_version=__version__,
            time_zone=self._time_zone,
            boot_id=self._journal.boot_id,
            running=list(executor.running),
            queued=len(executor.queue),
            executions=self._journal.executions,
            directive_sequence=self._trust.sequence,
            frozen=self._trust.frozen.is_frozen,
            session=self._session,
            fingerprint=self._fingerprint,
        )
