"""Whether a run may take place: by the policies of whoever made its schedule, as they are now."""

from collections.abc import Sequence

from fleethand_common.errors import RequestError
from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.gate import INSTANCE, OPERATOR, Gate, default_user
from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store


class Permits:
    """Asks the gate for each run what it was asked when the schedule was made; denials are in the audit log."""

    def __init__(self, store: Store, settings: Settings, directives: Directives) -> None:
        self._store = store
        self._settings = settings
        self._directives = directives
        self._gates: dict[str, Gate] = {}

    def problem(self, definition: Definition, instance_ids: Sequence[str]) -> str:
        """Return why a run is denied, empty if it is allowed; one instance that is denied denies it, as for a call."""
        permit, snapshot = definition.permit, definition.snapshot
        if permit.actor == OPERATOR:
            return ""
        if permit.actor not in self._gates:
            self._gates[permit.actor] = Gate(self._store, self._settings, self._directives, principal=permit.actor)
        gate = self._gates[permit.actor]
        user = snapshot.username or default_user(snapshot.command_type)
        names = [*permit.also, *(INSTANCE + instance_id for instance_id in instance_ids)]
        try:
            gate.enter()
            gate.demand(permit.action, names, run_as=user, invoke_id=definition.id)
        except RequestError as error:
            return str(error)
        return ""
