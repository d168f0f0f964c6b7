"""The small processes that fork supervisors for busy workers, found from outside as an operator finds them."""

import psutil

NURSERY = "fleethand_worker.nursery"


def nursery_of(worker_pid: int) -> psutil.Process | None:
    """Return a worker's nursery, or None if it has none."""
    found = [child for child in psutil.Process(worker_pid).children() if NURSERY in child.cmdline()]
    return found[0] if found else None
