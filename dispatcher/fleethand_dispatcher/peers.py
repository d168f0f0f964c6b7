"""The keys shared with each enrolled host, remembered until any host is enrolled or gone."""

from collections.abc import Sequence

from fleethand_common.sealing import PairKeys
from fleethand_dispatcher.host_records import HostRecords


class Peers:
    """Looks up the keys of hosts; asks the records once for each."""

    def __init__(self, records: HostRecords) -> None:
        self._records = records
        self._known: dict[str, PairKeys] = {}
        self._version = -1

    def keys_of(self, instance_ids: Sequence[str], version: int | None = None) -> dict[str, PairKeys]:
        """Return the keys of those that are enrolled; the others are left out. One small read if all are known.

        Who is not enrolled is not remembered: whoever invents names must not fill the memory with them.

        Args:
            version: the records' version, if the caller has just read it with something else.
        """
        if version is None:
            version = self._records.version()
        if version != self._version:
            self._known.clear()
            self._version = version
        missing = [name for name in instance_ids if name not in self._known]
        for name, host in zip(missing, self._records.read(missing), strict=True):
            if host is not None:
                self._known[name] = host.pair_keys
        return {name: self._known[name] for name in instance_ids if name in self._known}
