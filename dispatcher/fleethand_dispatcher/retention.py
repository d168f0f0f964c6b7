"""What is kept, and for how long.

Invocations by age and by number of results, hosts by when they were last seen, the audit log by age.
"""

import logging

from fleethand_common import ids
from fleethand_dispatcher import audit_checking
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

logger = logging.getLogger(__name__)

_DAY_MS = 86_400_000
_AT_ONCE = 200
"""Removed in one go: the beat that does it has schedules to fire."""


def sweep(store: Store, settings: Settings) -> int:
    """Remove some of what is too old or too much, oldest first; never what is unfinished, nor a schedule that lives.

    Returns:
        How many invocations and runs went; call it again until that is none.
    """
    now_ms = store.now_ms()
    horizon_ms = now_ms - settings.retention_days * _DAY_MS
    gone = 0
    living: set[str] | None = None
    for invoke_id, created_ms in store.invocations.oldest():
        too_old = created_ms < horizon_ms
        if gone >= _AT_ONCE or (not too_old and store.results_held() <= settings.retention_results):
            break
        if living is None:
            living = set(store.schedules.ids())
        if invoke_id not in living:
            gone += _forget(store, invoke_id)
    for instance_id, seen_ms in store.instances.all_seen().items():
        if seen_ms < horizon_ms:
            store.instances.forget(instance_id)
    audit_checking.drop_older(store.audit, now_ms - settings.audit_retention_days * _DAY_MS, actor="retention")
    if gone:
        logger.info("removed %d invocations that were over the bounds of retention", gone)
    return gone


def _forget(store: Store, invoke_id: str) -> int:
    """Remove one invocation; what a run came to stays in its schedule's list, and a schedule goes with its runs."""
    (head,) = store.invocations.heads([invoke_id])
    schedule_id = ids.schedule_of(invoke_id)
    runs = [] if schedule_id else store.runs.run_ids(invoke_id)
    if store.invocations.forget(invoke_id) < 0:
        return 0
    if head and schedule_id:
        store.runs.keep_counts(schedule_id, invoke_id, {str(status): n for status, n in head.counts.items()})
    for run_id in runs:
        store.invocations.forget(run_id)
    return 1
