"""Verbs that stop all starts of commands on the fleet, and let them go on."""

from fleethand_common import clock
from fleethand_dispatcher import freezing
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.gate import Gate
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.trust_models import FreezeStatus


class FreezeVerbs:
    """What an operator does when something goes wrong on many hosts."""

    _store: Store
    _settings: Settings
    _directives: Directives
    _gate: Gate

    @guarded
    def freeze(self, reason: str = "") -> FreezeStatus:
        """Let no command start anywhere, also none that waits on a host; what runs goes on and can be stopped.

        Calls that would start something are refused with `Operation.Frozen` and *reason*.
        """
        freezing.set_frozen(self._directives, frozen=True, actor=self._gate.actor, reason=reason)
        return self._freeze_status()

    @guarded
    def unfreeze(self) -> FreezeStatus:
        """Let commands start again; orders that waited and are still in their time are started now."""
        freezing.set_frozen(self._directives, frozen=False, actor=self._gate.actor)
        return self._freeze_status()

    @guarded
    def freeze_status(self) -> FreezeStatus:
        """Return whether the fleet is frozen, by whom, why, and how many hosts say that they know."""
        return self._freeze_status()

    def _freeze_status(self) -> FreezeStatus:
        frozen = freezing.is_frozen(self._directives)
        since_ms = self._store.now_ms() - self._settings.online_within_s * 1000
        seen = self._store.instances.all_seen()
        online = [facts for facts in self._store.instances.facts() if seen.get(facts.instance_id, 0) >= since_ms]
        return FreezeStatus(
            frozen=frozen is not None,
            actor=frozen.actor if frozen else "",
            reason=frozen.reason if frozen else "",
            since_time=clock.to_datetime(frozen.since_ms) if frozen else None,
            hosts=len(online),
            hosts_frozen=sum(facts.frozen for facts in online),
        )
