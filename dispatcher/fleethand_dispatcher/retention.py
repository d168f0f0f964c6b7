"""What is kept, and for how long.

Invocations by age and by number of results, hosts by when they were last seen, the audit log by age.
"""

import logging

from fleethand_dispatcher import audit_checking
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

logger = logging.getLogger(__name__)

_DAY_MS = 86_400_000


def sweep(store: Store, settings: Settings) -> int:
    """Remove what is too old or too much, oldest first, never what is unfinished; returns how many invocations went."""
    now_ms = store.now_ms()
    horizon_ms = now_ms - settings.retention_days * _DAY_MS
    gone = 0
    for invoke_id, created_ms in store.invocations.oldest():
        too_old = created_ms < horizon_ms
        if not too_old and store.results_held() <= settings.retention_results:
            break
        if store.invocations.forget(invoke_id) >= 0:
            gone += 1
    for instance_id, seen_ms in store.instances.all_seen().items():
        if seen_ms < horizon_ms:
            store.instances.forget(instance_id)
    audit_checking.drop_older(store.audit, now_ms - settings.audit_retention_days * _DAY_MS, actor="retention")
    if gone:
        logger.info("removed %d invocations that were over the bounds of retention", gone)
    return gone
