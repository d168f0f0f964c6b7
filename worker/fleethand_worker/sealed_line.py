"""Seals every report on its way up: the one place where a host proves that what it says comes from it."""

import msgspec

from fleethand_common import sealing
from fleethand_common.letters import SealedReport
from fleethand_worker.reporter import Line

_encode = msgspec.json.Encoder().encode


class SealedLine:
    """A line that seals what it is given; the journal keeps reports as they are.

    Args:
        key: the key that this host and the control plane share for the way up.
    """

    def __init__(self, line: Line, instance_id: str, key: bytes) -> None:
        self._line = line
        self._instance_id = instance_id
        self._key = key

    def push(self, reports: list[bytes]) -> bool:
        """See `Line`."""
        return self._line.push([self._sealed(report) for report in reports])

    def _sealed(self, report: bytes) -> bytes:
        return _encode(SealedReport(instance_id=self._instance_id, sealed=sealing.seal(report, self._key)))
