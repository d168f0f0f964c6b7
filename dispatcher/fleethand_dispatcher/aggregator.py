"""The results aggregator: takes reports in batches and applies them; between batches it is the reaper.

Any number of them may run; each report is applied by one of them, and again by another if that one dies.
"""

import contextlib
import logging
import signal
import threading
import uuid
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from fleethand_common import ids
from fleethand_common.clock import elapsed_s
from fleethand_common.messages import ExecutionReport, Heartbeat, Refused, Report, decode_report
from fleethand_dispatcher.applying import PoisonedReportError, change_for
from fleethand_dispatcher.bus import RedisOrderBus, RedisReportBus
from fleethand_dispatcher.changes import Change
from fleethand_dispatcher.connection import SERVER_ERRORS, is_servers_fault, masked
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.reaper import Reaper
from fleethand_dispatcher.rows import Head
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

logger = logging.getLogger(__name__)

_HEADS_KEPT = 1000
_RETRY_S = 0.5
_RETRY_MAX_S = 5.0


class Aggregator:
    """Applies reports to the records of one server."""

    def __init__(self, store: Store, settings: Settings, keyring: Keyring, *, aggregator_id: str | None = None) -> None:
        self._store = store
        self._keyring = keyring
        self._settings = settings
        self._reports = RedisReportBus(store.client, aggregator_id or uuid.uuid4().hex)
        bus = RedisOrderBus(store.client)
        self._courier = Courier(store, bus, settings)
        self._directives = Directives(store, bus, keyring)
        self._reaper = Reaper(store, self._reports, self._courier, settings)
        self._look_at_s = 0.0
        self._heads: dict[str, Head] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until *stop* is set; a server that is away is waited for."""
        retry_s = _RETRY_S
        while not stop.is_set():
            try:
                self.step(self._settings.reaper_interval_s)
                retry_s = _RETRY_S
            except SERVER_ERRORS as error:
                logger.warning("cannot reach Redis, trying again in %.1f s: %s", retry_s, error)
                stop.wait(retry_s)
                retry_s = min(retry_s * 2, _RETRY_MAX_S)
        with contextlib.suppress(*SERVER_ERRORS):  # what is left there, another one takes over
            self._reports.leave()

    def step(self, wait_s: float) -> int:
        """Take and apply one batch, waiting for it, and look at deadlines when it is time; returns the batch's size."""
        batch = self._reports.take(self._settings.report_batch, wait_s)
        if batch:
            self._apply_what_can_be(batch)
            self._reports.settle()
        if elapsed_s() >= self._look_at_s:
            self._look_at_s = elapsed_s() + self._settings.reaper_interval_s
            self._reports.reclaim()
            self._judge()
        return len(batch)

    def _judge(self) -> None:
        try:
            self._reaper.look()
        except Exception as error:
            if is_servers_fault(error):
                raise
            logger.exception("cannot look at deadlines; reports are still applied")

    def _apply_what_can_be(self, batch: Sequence[bytes]) -> None:
        """Apply a batch; a report that cannot be applied is found and set aside, and the others are applied."""
        try:
            self._apply(batch)
        except Exception as error:
            if is_servers_fault(error):
                raise
            if len(batch) == 1:
                self._set_aside(batch[0], f"cannot be applied: {type(error).__name__}: {error}")
                return
            for raw in batch:
                self._apply_what_can_be([raw])

    def _apply(self, batch: Sequence[bytes]) -> None:
        heartbeats: dict[str, Heartbeat] = {}
        executions: list[tuple[ExecutionReport, bytes]] = []
        for raw in batch:
            report = self._decode(raw)
            if isinstance(report, Heartbeat):
                earlier = heartbeats.get(report.instance_id)
                hello = report.hello or (earlier is not None and earlier.hello)
                heartbeats[report.instance_id] = msgspec.structs.replace(report, hello=hello)
            elif report is not None and not isinstance(report, Refused):
                executions.append((report, raw))
        self._apply_executions(executions)
        if heartbeats:
            agreed = self._store.hosts.agreed(list(heartbeats.values()))
            missing = self._store.instances.note(agreed, self._settings.online_within_s * 1000)
            self._directives.catch_up((beat.instance_id, beat.directive_sequence) for beat in heartbeats.values())
            self._courier.send_again(missing, "the host came back")

    def _decode(self, raw: bytes) -> Report | None:
        try:
            report: Report = decode_report(raw)
            _check_ids(report)
        except ValueError as error:
            self._set_aside(raw, str(error))
            return None
        return report

    def _apply_executions(self, reports: Sequence[tuple[ExecutionReport, bytes]]) -> None:
        known = list(dict.fromkeys(report.invocation_id for report, _ in reports))
        heads = self._heads_of(known)
        changes: defaultdict[str, list[tuple[Change, str]]] = defaultdict(list)
        sources: defaultdict[str, list[bytes]] = defaultdict(list)
        for report, raw in reports:
            change = self._change(report, raw, heads[report.invocation_id])
            if change is not None:
                changes[report.invocation_id].append(change)
                sources[report.invocation_id].append(raw)
        for invoke_id, answers in self._store.invocations.apply(changes).items() if changes else ():
            for raw, (old, _) in zip(sources[invoke_id], answers, strict=True):
                if not old:
                    self._heads.pop(invoke_id, None)
                    self._nowhere_to_apply(invoke_id, raw)

    def _nowhere_to_apply(self, invoke_id: str, raw: bytes) -> None:
        """Set a report aside that has no row, unless its whole invocation is gone: that is nobody's fault."""
        if self._store.invocations.head(invoke_id) is None:
            logger.info("dropped a report on the unknown or expired %s", invoke_id)
        else:
            self._set_aside(raw, "the instance is no target of this invocation")

    def _heads_of(self, invoke_ids: Sequence[str]) -> dict[str, Head | None]:
        """Return heads for what in them never changes; those of the latest invocations are remembered."""
        unknown = [invoke_id for invoke_id in invoke_ids if invoke_id not in self._heads]
        found = zip(unknown, self._store.invocations.heads(unknown), strict=True) if unknown else ()
        if len(self._heads) + len(unknown) > _HEADS_KEPT:
            self._heads.clear()
        self._heads.update((invoke_id, head) for invoke_id, head in found if head is not None)
        return {invoke_id: self._heads.get(invoke_id) for invoke_id in invoke_ids}

    def _change(self, report: ExecutionReport, raw: bytes, head: Head | None) -> tuple[Change, str] | None:
        if head is None:
            logger.info("dropped a report of %s on the unknown or expired %s", report.instance_id, report.invocation_id)
            return None
        try:
            return change_for(report, head.snapshot, head.deliver_before, int(self._settings.lease_s * 1000))
        except PoisonedReportError as error:
            self._set_aside(raw, str(error))
            return None

    def _set_aside(self, raw: bytes, reason: str) -> None:
        logger.warning("set a report aside: %s", reason)
        self._reports.set_aside(raw, reason, self._store.now_ms())


def _check_ids(report: Report) -> None:
    """Refuse ids that are none: they become parts of keys, and one that names another key would stop us for ever."""
    if not ids.is_instance_id(report.instance_id):
        raise PoisonedReportError("the instance id is none")
    if isinstance(report, ExecutionReport) and not ids.is_invocation_id(report.invocation_id):
        raise PoisonedReportError("the invocation id is none")


def main(settings: Settings) -> None:
    """Run an aggregator until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keyring = Keyring.load(settings.keys_path())
    store = Store.at(settings.redis_url, keyring.vault)
    logger.info("aggregating reports of %s", masked(settings.redis_url))
    try:
        Aggregator(store, settings, keyring).run(stop)
    finally:
        store.close()
