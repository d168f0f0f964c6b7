"""Keeps schedules that hosts run by their own time zones up to date: a zone that is new to one gets its own entry."""

from collections.abc import Iterable, Iterator, Mapping

from fleethand_dispatcher.scheduling.definitions import Definition
from fleethand_dispatcher.scheduling.passing import acts
from fleethand_dispatcher.scheduling.roster import Roster
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

_STEP = 500


def entries(definition: Definition, zones: Iterable[str], now_ms: int) -> dict[str, tuple[int, int]]:
    """Return when a schedule is due and must act, per time zone, or for all hosts under an empty name."""
    found: dict[str, tuple[int, int]] = {}
    for zone in sorted(zones) if definition.is_zoned else [""]:
        due = definition.first_after(now_ms, zone)
        if due is not None:
            found[zone] = (due, acts(definition, due, zone))
    return found


def refresh(store: Store, settings: Settings, now_ms: int) -> Iterator[int]:
    """Look for hosts whose time zone is new to a schedule that they take part in, some schedules at a time.

    A zone without hosts keeps its entry until that is due: then nobody takes part, and the row says so.

    Yields:
        How many entries were added, after each step: what is due in between must not wait for the rest.
    """
    zoned = store.schedules.zoned()
    if not zoned:
        return
    roster = Roster(store, settings.online_within_s * 1000)
    schedule_ids = list(zoned)
    for start in range(0, len(schedule_ids), _STEP):
        step = schedule_ids[start : start + _STEP]
        yield _add_new(store, roster, {schedule_id: zoned[schedule_id] for schedule_id in step}, now_ms)


def _add_new(store: Store, roster: Roster, zoned: Mapping[str, set[str]], now_ms: int) -> int:
    wanted = [
        (definition, zone)
        for definition in store.schedules.read(list(zoned))
        if isinstance(definition, Definition)
        for zone in roster.zones_of(definition.aim) - zoned[definition.id]
    ]
    facts = store.schedules.facts([(definition.id, zone) for definition, zone in wanted])
    added = 0
    for (definition, zone), fact in zip(wanted, facts, strict=True):
        if fact.fired >= (definition.policy.max_runs or fact.fired + 1):
            continue
        for due, act in entries(definition, [zone], now_ms).values():
            store.schedules.add_entry(definition.id, zone, due, act)
            added += 1
    return added
