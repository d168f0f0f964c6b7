"""Until when a host may be silent before the control plane says what it presumes."""

from fleethand_dispatcher.rows import Head, Row


def stop_deadline(row: Row, head: Head, lease_ms: int) -> int:
    """Return until when a host may confirm a stop, in ms: the command itself ends by its timeout in any case."""
    begin = head.deliver_before if row.started_at is None else row.started_at + head.snapshot.timeout_s * 1000
    return max(begin, row.stop_at or 0) + int(head.snapshot.stop_grace_s * 1000) + lease_ms
