"""The runs of a schedule that are under way, for its follower: what they print goes by in their own streams."""

from collections.abc import Mapping

from fleethand_dispatcher.event_records import Entry

_BEGIN = b"0"
_RUNS_MAX = 50
"""Runs whose output is read live at a time; that of others is told when they end."""


class LiveRuns:
    """Which hosts are in the middle of which run, and how far each run's stream was read."""

    def __init__(self) -> None:
        self._hosts: dict[str, set[str]] = {}
        self._after: dict[str, bytes] = {}

    @property
    def streams(self) -> Mapping[str, bytes]:
        """The runs whose streams are to be read, and the entry after which."""
        return self._after

    def see(self, entry: Entry) -> None:
        """Take in an event of the schedule: a run begins on a host, or ends there."""
        run_id, instance_id = entry.event.run, entry.instance_id
        if not run_id:
            return
        if entry.event.last is None:
            self._begin(run_id, instance_id)
        else:
            self._end(run_id, instance_id)

    def has(self, run_id: str, instance_id: str) -> bool:
        """Tell whether a host is in the middle of a run."""
        return instance_id in self._hosts.get(run_id, ())

    def read(self, run_id: str, entry_id: bytes) -> None:
        """Note that a run's stream was read until this entry."""
        if run_id in self._after:
            self._after[run_id] = entry_id

    def _begin(self, run_id: str, instance_id: str) -> None:
        if run_id in self._hosts or len(self._hosts) < _RUNS_MAX:
            self._hosts.setdefault(run_id, set()).add(instance_id)
            self._after.setdefault(run_id, _BEGIN)

    def _end(self, run_id: str, instance_id: str) -> None:
        hosts = self._hosts.get(run_id)
        if hosts is None:
            return
        hosts.discard(instance_id)
        if not hosts:
            del self._hosts[run_id], self._after[run_id]
