"""The hosts as an operator sees them (spec 3.5)."""

from collections.abc import Mapping, Sequence

from fleethand_dispatcher import describing, paging
from fleethand_dispatcher.models import CloudAssistantStatus, Instance, Page
from fleethand_dispatcher.requests import TargetsRequest, parse
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.targets import matcher


class Fleet:
    """Answers questions about hosts."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def describe(
        self,
        *,
        instance_ids: Sequence[str],
        tags: Mapping[str, str],
        names: Sequence[str],
        online: bool | None,
        max_results: int,
        next_token: str,
    ) -> Page[Instance]:
        """Return known hosts that fit every filter, sorted by id."""
        size = paging.check_size(max_results)
        start = paging.position(next_token, str) or ""
        aim = parse(TargetsRequest, {"instance_ids": instance_ids, "tags": tags, "names": names})
        found = [i for i in self._candidates(aim, online) if i > start]
        items = self.read(found[:size])
        more = len(found) > size
        return Page(items=items, next_token=paging.token(found[size - 1]) if more else "")

    def read(self, instance_ids: Sequence[str]) -> list[Instance]:
        """Return the known ones of some hosts."""
        now_ms = self._store.now_ms()
        waiting = self._store.instances.open_counts(instance_ids)
        return [
            describing.instance(
                record, now_ms=now_ms, online_within_s=self._settings.online_within_s, waiting=waiting[i]
            )
            for i, record in zip(instance_ids, self._store.instances.read(instance_ids), strict=True)
            if record is not None
        ]

    def status(
        self, *, instance_ids: Sequence[str], os_type: str | None, max_results: int, next_token: str
    ) -> Page[CloudAssistantStatus]:
        """Return whether hosts can take commands; those asked for by id come back even when unknown."""
        if instance_ids:
            aim = parse(TargetsRequest, {"instance_ids": instance_ids})
            known = {instance.instance_id: instance for instance in self.read(aim.instance_ids)}
            statuses = [describing.assistant_status(i, known.get(i)) for i in aim.instance_ids]
            return Page(items=[status for status in statuses if os_type in (None, status.os_type)])
        size = paging.check_size(max_results)
        start = paging.position(next_token, str) or ""
        fitting = {facts.instance_id for facts in self._store.instances.facts() if os_type in (None, facts.os_type)}
        found = sorted(i for i in fitting if i > start)
        items = [describing.assistant_status(known.instance_id, known) for known in self.read(found[:size])]
        return Page(items=items, next_token=paging.token(found[size - 1]) if len(found) > size else "")

    def _candidates(self, aim: TargetsRequest, online: bool | None) -> list[str]:
        seen = self._store.instances.all_seen()
        if aim.instance_ids:
            seen = {i: seen[i] for i in aim.instance_ids if i in seen}
        if aim.tags or aim.names:
            matches = matcher(dict(aim.tags), aim.names)
            fitting = {facts.instance_id for facts in self._store.instances.facts() if matches(facts)}
            seen = {i: at for i, at in seen.items() if i in fitting}
        if online is not None:
            since_ms = self._store.now_ms() - self._settings.online_within_s * 1000
            seen = {i: at for i, at in seen.items() if (at >= since_ms) is online}
        return sorted(seen)
