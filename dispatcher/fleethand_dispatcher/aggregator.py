"""The results aggregator: takes reports in batches and applies them; between batches it is the reaper.

What no host wrote changes nothing: it is counted, told as an alert, and a sample of it is set aside.
Any number of them may run; each report is applied by one of them, and again by another if that one dies.
"""

import contextlib
import logging
import signal
import threading
import uuid
from collections import defaultdict
from collections.abc import Sequence

from fleethand_common import ids
from fleethand_common.clock import elapsed_s
from fleethand_common.messages import ExecutionReport, Heartbeat, Refused
from fleethand_dispatcher.alerts import Alert, Alerts
from fleethand_dispatcher.applying import PoisonedReportError, change_for, refusal_alert, refusal_change
from fleethand_dispatcher.bus import RedisOrderBus, RedisReportBus
from fleethand_dispatcher.changes import Change
from fleethand_dispatcher.connection import SERVER_ERRORS, is_servers_fault, masked
from fleethand_dispatcher.courier import Courier
from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.opening import Forgery, Opened, Rejected, ReportOpener
from fleethand_dispatcher.peers import Peers
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
        self._alerts = Alerts(store.security, store.audit.append, now_ms=store.now_ms)
        self._opener = ReportOpener(Peers(store.hosts))
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
        with contextlib.suppress(*SERVER_ERRORS):
            self._alerts.flush(at_the_end=True)
        with contextlib.suppress(*SERVER_ERRORS):  # what is left there, another one takes over
            self._reports.leave()

    def step(self, wait_s: float) -> int:
        """Take and apply one batch, waiting for it, and look at deadlines when it is time; returns the batch's size."""
        batch = self._reports.take(self._settings.report_batch, wait_s)
        if batch:
            opened, rejected = self._opener.open(batch)
            for each in rejected:
                self._reject(each)
            self._apply_what_can_be(opened)
            self._alerts.flush()
            self._reports.settle()
        if elapsed_s() >= self._look_at_s:
            self._look_at_s = elapsed_s() + self._settings.reaper_interval_s
            self._reports.reclaim()
            self._alerts.flush()
            self._judge()
        return len(batch)

    def _judge(self) -> None:
        try:
            self._reaper.look()
        except Exception as error:
            if is_servers_fault(error):
                raise
            logger.exception("cannot look at deadlines; reports are still applied")

    def _reject(self, rejected: Rejected) -> None:
        """Set aside what cannot be used; of forgeries only as many as are told, so that they push nothing out."""
        if rejected.forgery is None:
            self._set_aside(rejected.raw, rejected.reason)
            return
        actor = rejected.instance_id if rejected.forgery is Forgery.OTHER_INSTANCE else ""
        alert = Alert(
            "report.forged", rejected.forgery, actor=actor, target=rejected.instance_id, detail=rejected.reason
        )
        if self._alerts.is_first(alert):
            self._set_aside(rejected.raw, f"forged, {rejected.forgery}: {rejected.reason}")
        self._alerts.add(alert)

    def _apply_what_can_be(self, batch: Sequence[Opened]) -> None:
        """Apply a batch; a report that cannot be applied is found and set aside, and the others are applied."""
        try:
            self._apply(batch)
        except Exception as error:
            if is_servers_fault(error):
                raise
            if len(batch) == 1:
                self._set_aside(batch[0].raw, f"cannot be applied: {type(error).__name__}: {error}")
                return
            for each in batch:
                self._apply_what_can_be([each])

    def _apply(self, batch: Sequence[Opened]) -> None:
        heartbeats = [report for _, report in batch if isinstance(report, Heartbeat)]
        self._apply_executions([(report, raw) for raw, report in batch if isinstance(report, ExecutionReport)])
        if heartbeats:
            self._note(heartbeats)
        for _, report in batch:
            if isinstance(report, Refused):
                self._note_refusal(report)

    def _note(self, heartbeats: Sequence[Heartbeat]) -> None:
        noted = self._store.instances.note(
            self._store.hosts.agreed(heartbeats),
            offline_after_ms=self._settings.online_within_s * 1000,
            again_ms=int(self._settings.redeliver_after_s * 1000),
        )
        for ignored in noted.ignored:
            self._alerts.count(f"heartbeat.ignored:{ignored}")
        for name in noted.cloned:
            detail = "two machines speak with this identity; register each of them anew under an id of its own"
            self._alerts.add(Alert("instance.cloned", "TwoSessions", actor=name, detail=detail))
        self._directives.catch_up((beat.instance_id, beat.directive_sequence) for beat in noted.taken)
        self._courier.send_again(noted.missing, "the host came back")

    def _note_refusal(self, report: Refused) -> None:
        """Tell that a host did not trust a message, and note it in the story of the row that the message claims."""
        self._alerts.add(refusal_alert(report))
        invoke_id = report.invocation_id
        if ids.is_invocation_id(invoke_id) and self._heads_of([invoke_id])[invoke_id] is not None:
            self._store.invocations.apply({invoke_id: [(refusal_change(report), "")]})

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


def main(settings: Settings) -> None:
    """Run an aggregator until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keyring = Keyring.load(settings.keys_path())
    store = Store.at(settings.server_url(), keyring.vault)
    logger.info("aggregating reports of %s", masked(settings.redis_url))
    try:
        Aggregator(store, settings, keyring).run(stop)
    finally:
        store.close()
