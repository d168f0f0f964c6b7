"""The composition root of a host: settings in, a worker out; nothing else puts the parts together."""

import gc
import logging
from pathlib import Path
from typing import Any

from fleethand_common import __version__
from fleethand_common.clock import Clock
from fleethand_common.credentials import Credentials
from fleethand_worker import identity, linux, logs, machine
from fleethand_worker.accounts import own_account
from fleethand_worker.admission import Admission
from fleethand_worker.broker import BrokerLine
from fleethand_worker.celery_app import HostApp, make_app, make_worker
from fleethand_worker.consumer import end_worker
from fleethand_worker.credentials import CredentialFiles
from fleethand_worker.direction import Direction
from fleethand_worker.executor import Executor, Host
from fleethand_worker.farewell import Farewell
from fleethand_worker.heartbeat import Pulse
from fleethand_worker.janitor import Janitor
from fleethand_worker.journal import Journal
from fleethand_worker.outcomes import Outcomes
from fleethand_worker.pool import EventListener
from fleethand_worker.recovery import recover
from fleethand_worker.refusals import Refusals
from fleethand_worker.reporter import Reporter
from fleethand_worker.sealed_line import SealedLine
from fleethand_worker.settings import WorkerSettings
from fleethand_worker.state_dir import StateDir
from fleethand_worker.trust import Trust

logger = logging.getLogger(__name__)


def run(settings: WorkerSettings) -> int:
    """Run the worker until it is told to end; return the exit code."""
    logs.set_up(settings.log_level)
    state_dir = StateDir(Path(settings.state_path()).absolute())  # scripts run in other folders
    credential_files = CredentialFiles(state_dir.path)
    credentials = machine.check(credential_files, credential_files.load(), accept=settings.accept_machine)
    settings = settings.completed(credentials)
    logger.info("event=starting instance=%s version=%s state_dir=%s", settings.instance_id, __version__, state_dir.path)
    app = make_app(settings)
    _add_parts(app, settings, state_dir.path, credentials, credential_files)
    worker = make_worker(app, settings, _on_ready)
    worker.start()
    app.pulse.end()
    logger.info("event=left running=%d", len(app.executor.running))
    return int(worker.exitcode or 0)


def _add_parts(
    app: HostApp, settings: WorkerSettings, state_dir: Path, credentials: Credentials, files: CredentialFiles
) -> None:
    clock = Clock()
    trust = Trust(credentials, files, clock)
    journal = Journal(state_dir, linux.boot_id())
    janitor = Janitor(journal, clock, trust.write_floor)
    app.line = BrokerLine()
    line = SealedLine(app.line, credentials.instance_id, trust.pair_keys.up)
    reporter = Reporter(line, lambda: app.executor.loop)
    host = _host(settings, journal.boot_id)
    outcomes = Outcomes(host.instance_id, clock)
    app.executor = Executor(host, reporter, outcomes, clock)
    app.refusals = Refusals(host.instance_id, reporter, clock)
    app.admission = Admission(
        trust=trust,
        refusals=app.refusals,
        executor=app.executor,
        journal=journal,
        janitor=janitor,
        outcomes=outcomes,
    )
    app.pulse = Pulse(
        executor=app.executor,
        journal=journal,
        janitor=janitor,
        reporter=reporter,
        clock=clock,
        interval_s=settings.heartbeat_interval_s,
        tags=dict(settings.tags),
        trust=trust,
        refusals=app.refusals,
        fingerprint=credentials.fingerprint,
        server_time_ms=app.line.server_time_ms,
    )
    app.farewell = Farewell(files, credentials, end_worker)
    app.direction = Direction(trust, app.executor, app.pulse.tell)
    recover(
        journal=journal,
        executor=app.executor,
        outcomes=outcomes,
        reporter=reporter,
        janitor=janitor,
        clock=clock,
        listener_for=lambda task_id: EventListener(app, task_id),
    )


def _host(settings: WorkerSettings, boot_id: str) -> Host:
    return Host(
        instance_id=settings.instance_id,
        name=settings.name or identity.host_name(),
        boot_id=boot_id,
        concurrency=settings.concurrency,
        queue_limit=settings.queue_limit,
        linger_s=settings.linger_s,
    )


def _on_ready(_consumer: Any) -> None:
    own_account()
    # What is there now stays: a collection need not look at it, and a fork need not copy it.
    gc.collect()
    gc.freeze()
    logger.info("event=ready")
