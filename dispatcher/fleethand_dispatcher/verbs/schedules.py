"""Verbs about schedules."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from fleethand_common import clock
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.catalogue import Catalogue
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.gate import INSTANCE, Gate
from fleethand_dispatcher.models import InvocationResult, Page, Schedule, ScheduledRun, UpcomingRun
from fleethand_dispatcher.reading import Reader
from fleethand_dispatcher.requests import check_client_token, check_statuses
from fleethand_dispatcher.scheduling.definitions import paused
from fleethand_dispatcher.scheduling.listing import Lister
from fleethand_dispatcher.scheduling.modifying import Modifier
from fleethand_dispatcher.scheduling.previewing import upcoming
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store


class ScheduleVerbs:
    """What can be done with a command that runs again and again, beside what can be done with any invocation."""

    _store: Store
    _settings: Settings
    _catalogue: Catalogue
    _reader: Reader
    _gate: Gate

    @property
    def _lister(self) -> Lister:
        return Lister(self._store, self._reader)

    @guarded
    def describe_schedules(
        self, *, invoke_id: str | None = None, max_results: int = 10, next_token: str = ""
    ) -> Page[Schedule]:
        """List the schedules that live, sorted by id, each with its next and its last run."""
        return self._lister.describe(invoke_id, max_results, next_token)

    @guarded
    def describe_schedule_runs(self, invoke_id: str, *, max_results: int = 50) -> list[ScheduledRun]:
        """List what became of the latest times at which a schedule was due, newest first, with the reason of each."""
        return self._lister.runs(invoke_id, max_results)

    @guarded
    def preview_schedule(
        self,
        frequency: str = "",
        count: int = 5,
        *,
        invoke_id: str | None = None,
        blackout: Sequence[str] = (),
        time_zones: Sequence[str] = (),
        after: datetime | None = None,
    ) -> list[UpcomingRun]:
        """Return the next *count* times of a frequency that is not used yet, or of the schedule *invoke_id*.

        Args:
            blackout: windows in which nothing fires; a schedule has its own.
            time_zones: of the hosts, where each reads the frequency in its own; those of the fleet if left out.
            after: an aware datetime; now if left out.
        """
        definition = self._lister.definition(invoke_id) if invoke_id else None
        now = clock.to_datetime(self._store.now_ms())
        return upcoming(
            self._store,
            definition,
            frequency,
            count,
            blackout=blackout,
            zones=time_zones,
            visible=self._visible,
            now=now,
            after=after or now,
        )

    def _visible(self, instance_ids: Sequence[str]) -> list[str]:
        seen = self._gate.seen("ecs:DescribeInstances", [INSTANCE + name for name in instance_ids])
        return [name for name, is_seen in zip(instance_ids, seen, strict=True) if is_seen]

    @guarded
    def pause_schedule(self, invoke_id: str) -> None:
        """Let a schedule fire nothing until it is resumed; each time that passes has a row that says so."""
        self._pause(invoke_id, self._store.now_ms())

    @guarded
    def resume_schedule(self, invoke_id: str) -> None:
        """Let a paused schedule go on with its next time."""
        self._pause(invoke_id, None)

    def _pause(self, invoke_id: str, at_ms: int | None) -> None:
        self._lister.definition(invoke_id)
        self._store.schedules.alter(invoke_id, partial(paused, at_ms=at_ms))

    @guarded
    def modify_invocation_attribute(
        self,
        invoke_id: str,
        *,
        command_content: str | None = None,
        content_encoding: str = "PlainText",
        enable_parameter: bool | None = None,
        parameters: Mapping[str, Any] | None = None,
        frequency: str | None = None,
        instance_ids: Sequence[str] = (),
        client_token: str | None = None,
    ) -> str:
        """Change a schedule that lives; a run in progress is not disturbed (spec 2.8).

        Each run needs the rights of whoever changed it last, who must be allowed to run it as it is then.

        Args:
            enable_parameter: must be true where *parameters* are given.
            instance_ids: instances to add.
            client_token: only checked: the same call again changes nothing.

        Returns:
            The id of the command that it runs from now on: a new one if the content is another.
        """
        check_client_token(client_token)
        values = {
            "command_content": command_content,
            "content_encoding": content_encoding,
            "enable_parameter": enable_parameter,
            "parameters": parameters,
            "frequency": frequency,
            "instance_ids": (instance_ids,) if isinstance(instance_ids, str) else tuple(instance_ids),
        }
        modifier = Modifier(self._store, self._catalogue, self._settings)
        definition = self._lister.definition(invoke_id)
        admission = self._gate.admission(definition.permit.action, *definition.permit.also)
        return modifier.modify(definition, values, admission)

    def _history(
        self, invoke_id: str, instance_id: str | None, status: str | None, max_results: int, next_token: str
    ) -> Page[InvocationResult]:
        if not invoke_id:
            raise refusal("InvalidParameter", "Give the invoke_id of a schedule to see all of its executions.")
        statuses = check_statuses(status) if status else None
        return self._lister.history(invoke_id, instance_id, statuses, max_results, next_token)
