"""Output that is sent while a command runs: a chunk now and then, best effort, the beginning only."""

import os
from collections.abc import Iterator

from fleethand_common.messages import OutputChunk
from fleethand_worker.execution import Execution
from fleethand_worker.output import complete_length

INTERVAL_S = 0.5
CHUNK_BYTES = 8 * 1024


def next_chunks(execution: Execution, instance_id: str) -> Iterator[OutputChunk]:
    """Yield what the supervisor wrote since the last look; `sent_bytes` is for the caller to move on."""
    try:
        descriptor = os.open(execution.entry.path / "live", os.O_RDONLY)
    except OSError:
        return
    try:
        offset = execution.sent_bytes
        while data := os.pread(descriptor, CHUNK_BYTES, offset):
            data = data[: complete_length(data)]
            if not data:
                return
            yield OutputChunk(
                instance_id=instance_id, invocation_id=execution.invocation_id, offset=offset, data=data.decode()
            )
            offset += len(data)
    finally:
        os.close(descriptor)
