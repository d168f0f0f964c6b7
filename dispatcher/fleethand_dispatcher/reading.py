"""What became of invocations: describe, wait, follow, explain (spec 2.9, 2.10)."""

import fnmatch
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from fleethand_common import ids
from fleethand_common.commands import RepeatMode
from fleethand_common.states import InvocationStatus, aggregate
from fleethand_dispatcher import describing, paging
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.following import Follower
from fleethand_dispatcher.models import Explanation, InvocationEvent, InvocationRecord, InvocationResult, Page
from fleethand_dispatcher.patience import Deadline, patiently
from fleethand_dispatcher.rows import Head
from fleethand_dispatcher.store import Store

_CHUNK = 500


class Reader:
    """Answers questions about invocations; changes nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def status(self, invoke_id: str) -> InvocationStatus:
        """Return the status alone; one small read, whatever the number of instances."""
        counts = self._store.invocations.counts(invoke_id)
        if not counts:
            self.head(invoke_id)
        return aggregate(counts)

    def head(self, invoke_id: str) -> Head:
        """Return the head of an invocation, or refuse."""
        head = self._store.invocations.head(invoke_id) if invoke_id else None
        if head is None:
            raise refusal("InvalidInvokeId.NotFound", f"There is no invocation {invoke_id!r}.")
        return head

    def record(self, invoke_id: str) -> InvocationRecord:
        """Return the record of an invocation, or refuse."""
        return describing.invocation(invoke_id, self.head(invoke_id))

    def resolve(self, text: str) -> str:
        """Return the id that `last`, a unique beginning or a whole id stands for."""
        if text == "last":
            newest = next(self._store.invocations.newest(before=None), None)
            if newest is None:
                raise refusal("InvalidInvokeId.NotFound", "There is no invocation yet.")
            return newest[0]
        if self._store.invocations.head(text) is not None:
            return text
        if text in ("", ids.INVOCATION_PREFIX):
            raise refusal("InvalidInvokeId.NotFound", f"Cannot use {text!r}: every id begins so.")
        beginning = ids.INVOCATION_PREFIX + text.removeprefix(ids.INVOCATION_PREFIX)
        found = self._store.invocations.ids_starting_with(beginning) if ids.is_invocation_id(beginning) else []
        if len(found) != 1:
            known = f"it may be any of {', '.join(found)}" if found else "none begins so"
            raise refusal("InvalidInvokeId.NotFound", f"Cannot use {text!r}: {known}.")
        return found[0]

    def describe(
        self,
        *,
        invoke_id: str | None,
        instance_id: str | None,
        accepts: Callable[[InvocationRecord], bool],
        max_results: int,
        next_token: str,
    ) -> Page[InvocationRecord]:
        """Return invocations that *accepts* takes, newest first."""
        size = paging.check_size(max_results)
        if invoke_id is not None:
            head = self._store.invocations.head(invoke_id)
            aimed = instance_id is None or self._store.invocations.row(invoke_id, instance_id) is not None
            found = [describing.invocation(invoke_id, head)] if head and aimed else []
            return Page(items=[record for record in found if accepts(record)])
        before = paging.position(next_token, tuple[int, str])
        records: list[InvocationRecord] = []
        for record in self._newest(before, instance_id):
            if accepts(record):
                records.append(record)
            if len(records) > size:
                break
        more = len(records) > size
        last = records[size - 1] if more else None
        token = paging.token((round(last.creation_time.timestamp() * 1000), last.invoke_id)) if last else ""
        return Page(items=records[:size], next_token=token)

    def _newest(self, before: tuple[int, str] | None, instance_id: str | None) -> Iterator[InvocationRecord]:
        pairs = self._store.invocations.newest(before=before, instance_id=instance_id)
        while chunk := list(itertools.islice(pairs, _CHUNK)):
            heads = self._store.invocations.heads([invoke_id for invoke_id, _ in chunk])
            for (invoke_id, _), head in zip(chunk, heads, strict=True):
                if head is not None:
                    yield describing.invocation(invoke_id, head)

    def results(self, invoke_id: str, statuses: Sequence[str] | None = None) -> Iterator[InvocationResult]:
        """Yield the results of an invocation, in the order of its targets."""
        head = self.head(invoke_id)
        matching = (instance_id for _, instance_id in self._matching(invoke_id, head, 0, statuses))
        while chunk := list(itertools.islice(matching, _CHUNK)):
            yield from self._results_of(invoke_id, head, chunk)

    def page_of_results(
        self, invoke_id: str, statuses: Sequence[str] | None, max_results: int, next_token: str
    ) -> Page[InvocationResult]:
        """Return some results of an invocation and where the next begin."""
        size = paging.check_size(max_results)
        head = self.head(invoke_id)
        start = max(0, paging.position(next_token, int) or 0)
        found = list(itertools.islice(self._matching(invoke_id, head, start, statuses), size + 1))
        items = self._results_of(invoke_id, head, [i for _, i in found[:size]])
        return Page(items=items, next_token=paging.token(found[size][0]) if len(found) > size else "")

    def _matching(
        self, invoke_id: str, head: Head, start: int, statuses: Sequence[str] | None
    ) -> Iterator[tuple[int, str]]:
        """Yield the position and id of the targets from *start* on that are in one of *statuses*."""
        while start < head.total:
            ids = self._store.invocations.targets(invoke_id, start, _CHUNK)
            rows = self._store.invocations.rows(invoke_id, ids) if statuses else [None] * len(ids)
            for offset, (instance_id, row) in enumerate(zip(ids, rows, strict=True)):
                if not statuses or (row and row.status in statuses):
                    yield start + offset, instance_id
            start += _CHUNK

    def result(self, invoke_id: str, instance_id: str) -> InvocationResult:
        """Return the result of one instance, or refuse."""
        head = self.head(invoke_id)
        found = self._results_of(invoke_id, head, [instance_id])
        if not found:
            raise refusal("InvalidInstance.NotFound", f"{instance_id!r} is no target of {invoke_id}.")
        return found[0]

    def page_of_instance(
        self, instance_id: str, statuses: Sequence[str] | None, max_results: int, next_token: str
    ) -> Page[InvocationResult]:
        """Return what one instance did, newest first, and where the next begin."""
        size = paging.check_size(max_results)
        before = paging.position(next_token, tuple[int, str])
        items: list[InvocationResult] = []
        last: tuple[int, str] | None = None
        for invoke_id, created_ms in self._store.invocations.newest(before=before, instance_id=instance_id):
            head = self._store.invocations.head(invoke_id)
            found = self._results_of(invoke_id, head, [instance_id]) if head else []
            fitting = [item for item in found if not statuses or item.invocation_status in statuses]
            if fitting and len(items) == size:
                return Page(items=items, next_token=paging.token(last))
            items += fitting
            last = (created_ms, invoke_id)
        return Page(items=items)

    def explain(self, invoke_id: str, instance_id: str) -> Explanation:
        """Return the story of one instance in one invocation."""
        result = self.result(invoke_id, instance_id)
        row = self._store.invocations.row(invoke_id, instance_id)
        return Explanation(result=result, steps=describing.steps(row) if row else ())

    def _results_of(self, invoke_id: str, head: Head, instance_ids: Sequence[str]) -> list[InvocationResult]:
        rows = zip(instance_ids, self._store.invocations.rows(invoke_id, instance_ids), strict=True)
        chosen = [(i, row) for i, row in rows if row]
        kept = self._store.invocations.outputs_of(invoke_id, [row for _, row in chosen])
        live = self._store.invocations.live_outputs(invoke_id, [i for i, row in chosen if not row.output])
        known = self._store.instances.read([i for i, _ in chosen])
        found = []
        for (i, row), record in zip(chosen, known, strict=True):
            output = describing.fresh_output(i, row, kept, live)
            is_ours = self._store.invocations.seal.is_authentic(invoke_id, i, row)
            found.append(
                describing.result(
                    invoke_id,
                    i,
                    row,
                    head,
                    output=output or "",
                    authentic=is_ours and output is not None,
                    name=record.facts.name if record else "",
                    seen_ms=record.last_seen_at if record else None,
                )
            )
        return found

    def wait(self, invoke_id: str, timeout_s: float | None) -> InvocationRecord:
        """Block until every instance has finished; an outage of the server is waited out."""
        deadline = Deadline(timeout_s)
        after = b"0"
        while True:
            head = patiently(partial(self.head, invoke_id), deadline)
            if head.unfinished == 0:
                return describing.invocation(invoke_id, head)
            deadline.check(invoke_id)
            wait_done = partial(self._store.events.wait_done, invoke_id, after, deadline.left_s())
            after = patiently(wait_done, deadline)

    def follow(self, invoke_id: str, timeout_s: float | None) -> Iterator[InvocationEvent]:
        """Yield events from the beginning until every instance has finished."""
        follower = Follower(
            invoke_id,
            self._store,
            head=partial(self.head, invoke_id),
            results=partial(self.results, invoke_id),
        )
        return follower.events(timeout_s)


def accepting(
    *,
    command_id: str | None,
    command_name: str | None,
    command_type: str | None,
    invocation_status: str | None,
    repeat_mode: str | None = None,
) -> Callable[[InvocationRecord], bool]:
    """Return the test that the filters of `describe_invocations` make."""
    if invocation_status is not None and invocation_status not in set(InvocationStatus):
        known = ", ".join(InvocationStatus)
        raise refusal("InvalidParameter.Status", f"Cannot use {invocation_status!r}; there are {known}.")

    if repeat_mode is not None and repeat_mode not in set(RepeatMode):
        known = ", ".join(RepeatMode)
        raise refusal("InvalidRepeatMode.NotFound", f"Cannot use {repeat_mode!r}; there are {known}.")

    def accepts(record: InvocationRecord) -> bool:
        return (
            (command_id is None or record.command_id == command_id)
            and (command_name is None or fnmatch.fnmatchcase(record.command_name, command_name))
            and (command_type is None or record.command_type == command_type)
            and (invocation_status is None or record.invocation_status == invocation_status)
            and (repeat_mode is None or record.repeat_mode == repeat_mode)
        )

    return accepts
