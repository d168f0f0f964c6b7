"""Random sequences of reports, stops and guesses against a slow model that knows nothing of Redis."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleethand_common.states import LIVE, PRESUMABLE, TERMINAL, InstanceStatus, aggregate, is_allowed
from fleethand_dispatcher import describing, keys
from fleethand_dispatcher.changes import Change, presumption
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.store import Store
from recorded import record

INSTANCES = ("a", "b", "c")
P, R, S = InstanceStatus.PENDING, InstanceStatus.RUNNING, InstanceStatus.STOPPING


@dataclass
class ModelRow:
    """What must become of one instance, in as few words as possible."""

    status: InstanceStatus
    sent: int
    presumed: bool = False
    accepted: bool = False
    started: bool = False
    history: list[InstanceStatus] = field(default_factory=list)
    output: str = ""
    offset: int = -1
    live: str = ""

    @property
    def open(self) -> bool:
        """Whether the host must still get a message: the order until it took it, or a stop until it confirms it."""
        return self.status == S or (self.status in LIVE and not self.accepted)

    def move(self, status: InstanceStatus, *, presumed: bool = False) -> None:
        """Take another status."""
        self.status, self.presumed = status, presumed
        self.history.append(status)

    def sent_again(self) -> None:
        """The order went out once more."""
        self.sent += self.status in LIVE

    def accept(self) -> None:
        """The host has it."""
        if self.status in LIVE:
            self.accepted = True

    def start(self) -> None:
        """The host says it runs."""
        if self.started:
            return
        if self.status == S:
            self.started = self.accepted = True
        elif is_allowed(self.status, R, presumed=self.presumed):
            self.started = self.accepted = True
            self.move(R)

    def say(self, offset: int) -> None:
        """A piece of output."""
        if (self.status in LIVE or self.presumed) and offset > self.offset:
            self.offset, self.live = offset, self.live + f"<{offset}>"

    def finish(self, status: InstanceStatus, output: str, *, started: bool) -> None:
        """The host's last word."""
        forgot = status == InstanceStatus.ABORTED and self.started
        if is_allowed(self.status, status, presumed=self.presumed) and not forgot:
            self.started |= started
            self.accepted |= self.started
            if output:
                self.offset, self.live = -1, ""
            self.output = output or self.output
            self.move(status)

    def presume(self, about: InstanceStatus, status: InstanceStatus) -> None:
        """The control plane's guess."""
        if self.status == about and is_allowed(self.status, status):
            self.move(status, presumed=True)

    def stop(self) -> None:
        """A caller wants it ended."""
        if self.status in LIVE and self.status != S:
            self.move(InstanceStatus.CANCELLED if self.sent == 0 else S)


def _sent(row: ModelRow) -> tuple[Change, str]:
    row.sent_again()
    return Change(i="", kind="sent", watch_at=9, detail="again"), ""


def _accept(row: ModelRow) -> tuple[Change, str]:
    row.accept()
    return Change(i="", kind="accepted", at=1, watch_at=9), ""


def _start(row: ModelRow) -> tuple[Change, str]:
    row.start()
    return Change(i="", kind="started", at=2, watch_after_ms=1000), ""


def _stop(row: ModelRow) -> tuple[Change, str]:
    row.stop()
    return Change(i="", kind="stop", at=7, watch_after_ms=1000), ""


def _later(_: ModelRow) -> tuple[Change, str]:
    return Change(i="", kind="later", watch_at=7, detail="asked"), ""


def _say(offset: int):
    def do(row: ModelRow) -> tuple[Change, str]:
        row.say(offset)
        return Change(i="", kind="output", offset=offset), f"<{offset}>"

    return do


def _finish(status: InstanceStatus, output: str, started: bool):
    def do(row: ModelRow) -> tuple[Change, str]:
        row.finish(status, output, started=started)
        at = 2 if started else None
        return Change(i="", kind="finished", to=status, at=3, started_at=at), output

    return do


def _presume(about: InstanceStatus, status: InstanceStatus):
    def do(row: ModelRow) -> tuple[Change, str]:
        row.presume(about, status)
        return presumption("", about, None, "", at_ms=7, to=status), ""

    return do


statuses = st.sampled_from(sorted(TERMINAL))
steps = st.one_of(
    st.sampled_from([_sent, _accept, _start, _stop, _later]),
    st.builds(_say, st.integers(0, 3)),
    st.builds(_finish, statuses, st.sampled_from(["", "one", "two"]), st.booleans()),
    st.builds(_presume, st.sampled_from([P, R, S]), st.sampled_from(sorted(PRESUMABLE))),
)


@pytest.fixture
def store(redis_url: str, keyring: Keyring) -> Store:
    """The records of an empty server."""
    return Store.at(redis_url, keyring.vault)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.integers(0, 1),
    script=st.lists(st.tuples(st.sampled_from(INSTANCES), steps), max_size=25),
    batch=st.integers(1, 8),
)
def test_records_follow_the_model_whatever_comes_in_whatever_order(store: Store, sent, script, batch) -> None:
    """Duplicates, late and reordered reports, stops and guesses: rows, counters, events and indexes agree."""
    invoke_id = record(store, dict.fromkeys(INSTANCES, P), sent_count=sent)
    model = {i: ModelRow(P, sent) for i in INSTANCES}
    ends, changes = 0, []
    for i, step in script:
        was_over = all(row.status in TERMINAL for row in model.values())
        change, text = step(model[i])
        ends += not was_over and all(row.status in TERMINAL for row in model.values())
        changes.append((msgspec.structs.replace(change, i=i), text))
    for start in range(0, len(changes), batch):
        store.invocations.apply({invoke_id: changes[start : start + batch]})

    check(store, invoke_id, model, ends)


def check(store: Store, invoke_id: str, model: dict[str, ModelRow], ends: int) -> None:
    """Compare all that is stored with the model."""
    rows = dict(zip(model, store.invocations.rows(invoke_id, list(model)), strict=True))
    assert {i: (row.status, row.presumed, row.sent, row.accepted, row.started) for i, row in model.items()} == {
        i: (row.status, row.presumed, row.sent_count, row.accepted_at is not None, row.started_at is not None)
        for i, row in rows.items()
    }
    assert all(store.invocations.seal.is_authentic(invoke_id, i, row) for i, row in rows.items())
    head = store.invocations.head(invoke_id)
    live = [i for i, row in model.items() if row.status in LIVE]
    assert Counter(row.status for row in model.values()) == head.counts
    assert (len(live), len(model)) == (head.unfinished, head.total)
    expected = aggregate(row.status for row in model.values())
    assert expected == describing.invocation(invoke_id, head).invocation_status
    assert (head.finished_at is not None) == (not live)

    entries = store.events.read({invoke_id: b"0"}, None).get(invoke_id, [])
    assert all(entry.authentic for entry in entries)
    told = {i: [e.event.status for e in entries if e.instance_id == i and e.event.kind == "status"] for i in rows}
    assert {i: row.history for i, row in model.items()} == told
    assert len(store.client.xrange(keys.invocation(invoke_id).done)) == ends

    watched = {
        m.decode().partition("|")[2] for m in store.client.zrange(keys.WATCH, 0, -1) if m.startswith(invoke_id.encode())
    }
    assert set(live) == watched
    is_open = {i for i in model if store.client.zscore(keys.instance_open(i), invoke_id) is not None}
    assert {i for i, row in model.items() if row.open} == is_open
    assert bool(live) == (invoke_id in store.invocations.unfinished())

    kept = store.invocations.outputs(invoke_id, [row.output for row in rows.values()])
    assert {i: row.output for i, row in model.items()} == {i: kept.get(row.output, "") for i, row in rows.items()}
    assert {i: row.live for i, row in model.items() if row.live} == store.invocations.live_outputs(invoke_id, INSTANCES)
