"""Who takes part in a run: the targets of schedules, looked for at one moment for many of them at once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from fleethand_common.messages import Heartbeat
from fleethand_common.sealing import PairKeys
from fleethand_dispatcher.requests import TargetsRequest, parse
from fleethand_dispatcher.scheduling.definitions import Aim, Definition, known_zone
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.targets import Targets, matcher, part, share


class Crew(NamedTuple):
    """The instances of one occurrence."""

    instances: Sequence[str]
    left: Sequence[str]
    """Instances of the schedule that are no targets any more."""
    members: Sequence[str]
    """Instances that the schedule has rows for, in this zone where it is run by zones."""
    everyone: Sequence[str]
    """The same in any zone."""


class Roster:
    """What the records say of hosts now; read once, however many schedules ask."""

    def __init__(self, store: Store, online_within_ms: int) -> None:
        self._store = store
        self._online_within_ms = online_within_ms
        self._found: dict[tuple[object, ...], Sequence[str]] = {}
        self._zones: dict[tuple[object, ...], set[str]] = {}

    @cached_property
    def _facts(self) -> Mapping[str, Heartbeat]:
        return {facts.instance_id: facts for facts in self._store.instances.facts()}

    @cached_property
    def _tagged(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """The hosts by tag, so that each of many schedules looks at those of its own tag, not at the whole fleet."""
        found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for instance_id, facts in self._facts.items():
            for tag in facts.tags.items():
                found[tag].append(instance_id)
        return found

    def _candidates(self, aim: Aim) -> Iterable[str]:
        """Return the hosts of the rarest tag that is asked for; all hosts where none is."""
        if not aim.tags:
            return self._facts
        found: list[Sequence[str]] = [self._tagged.get(tag, ()) for tag in aim.tags.items()]
        return min(found, key=len)

    def everyone(self) -> Sequence[str]:
        """Return the ids of all hosts that were ever seen."""
        return list(self._facts)

    def zone(self, instance_id: str) -> str:
        """Return the time zone that a host reported; UTC for one that never did, or reported none that is known."""
        facts = self._facts.get(instance_id)
        return known_zone(facts.time_zone) if facts else "UTC"

    def zones(self, instance_ids: Iterable[str]) -> set[str]:
        """Return the time zones of some hosts."""
        return {self.zone(instance_id) for instance_id in instance_ids}

    def zones_of(self, aim: Aim) -> set[str]:
        """Return the time zones of the hosts that a schedule is for now."""
        if aim.is_fixed:
            return self.zones(aim.instance_ids)
        key = _key(aim)
        if key not in self._zones:
            self._zones[key] = self.zones(self.matching(aim))
        return self._zones[key]

    def matching(self, aim: Aim) -> Sequence[str]:
        """Return the hosts that fit now, by id."""
        key = _key(aim)
        if key not in self._found:
            request = parse(TargetsRequest, {"tags": aim.tags, "names": tuple(aim.names), "limit": aim.limit})
            fits: Callable[[Heartbeat], bool] = matcher(aim.tags, tuple(aim.names))
            self._found[key] = share(request, sorted(i for i in self._candidates(aim) if fits(self._facts[i])))
        return self._found[key]

    def crew(self, definition: Definition, members: Sequence[str], zone: str, only: str) -> Crew:
        """Return who takes part in one occurrence.

        Args:
            members: the instances that the schedule has rows for.
            only: the one instance that it is for, if it is for one.
        """
        fitting = definition.aim.instance_ids if definition.aim.is_fixed else self.matching(definition.aim)
        left = [] if definition.aim.is_fixed else sorted(set(members) - set(fitting))
        chosen = [i for i in fitting if i == only] if only else fitting
        everyone = members
        if definition.is_zoned:
            chosen = [i for i in chosen if self.zone(i) == zone]
            members = [i for i in members if self.zone(i) == zone]
        return Crew(chosen, left, members, everyone)

    def parted(self, crews: Sequence[Crew], peers: Mapping[str, PairKeys], now_ms: int) -> list[Targets]:
        """Return the instances of several occurrences by whether they are enrolled, and online."""
        everyone = sorted({i for crew in crews for i in crew.instances})
        seen = dict(zip(everyone, self._store.instances.seen(everyone), strict=True))
        since_ms = now_ms - self._online_within_ms
        return [
            part(crew.instances, seen=[seen[i] for i in crew.instances], enrolled=peers, online_since_ms=since_ms)
            for crew in crews
        ]


def _key(aim: Aim) -> tuple[object, ...]:
    """Return what aims that mean the same have in common: many schedules are for the same hosts."""
    return tuple(sorted(aim.tags.items())), tuple(aim.names), aim.all_instances, aim.limit
