"""The verbs of the Python API for whoever operates the control plane; a `Dispatcher` has them all."""

from fleethand_common import clock
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.dead_reports import DeadReports
from fleethand_dispatcher.models import DeadReport
from fleethand_dispatcher.store import Store


class OperatorVerbs:
    """What can be asked of the control plane itself."""

    _store: Store
    _dead: DeadReports

    @guarded
    def dead_reports(self, *, max_results: int = 50) -> list[DeadReport]:
        """Return the newest reports that were set aside, with the reason."""
        return self._dead.newest(max_results)

    @guarded
    def drop_dead_reports(self) -> int:
        """Forget the reports that were set aside; returns how many there were."""
        return self._dead.drop()

    @guarded
    def server_time(self) -> str:
        """Return the control plane's time as API text; also shows that the server answers."""
        return clock.to_text(self._store.now_ms())
