"""What must hold in the records once everything has ended, whatever happened on the way."""

from collections import Counter
from collections.abc import Iterable

from fleet import Fleet
from fleethand_common.celery_config import REPORTS_QUEUE
from fleethand_common.states import TERMINAL
from fleethand_dispatcher import keys
from fleethand_dispatcher.rows import row_decoder
from waiting import wait_until


def check_records(fleet: Fleet, invoke_ids: Iterable[str], *, dead_aggregators_for_s: float = 15) -> Counter[str]:
    """Check every row, counter and index of invocations that have ended.

    Returns:
        How many rows are in each status.
    """
    found: Counter[str] = Counter()
    with fleet.server.client() as client:
        for invoke_id in invoke_ids:
            k = keys.invocation(invoke_id)
            rows = [row_decoder.decode(text) for text in client.hvals(k.rows)]
            statuses = Counter(str(row.status) for row in rows)
            head = client.hgetall(k.head)
            counters = {name[2:]: int(value) for name, value in head.items() if name.startswith("n:") and int(value)}
            assert counters == dict(statuses), f"{invoke_id}: counters are not the rows"
            assert int(head["unfinished"]) == 0, invoke_id
            assert int(head["total"]) == len(rows) == client.llen(k.targets), invoke_id
            assert "finished_at" in head, invoke_id
            assert set(statuses) <= {str(status) for status in TERMINAL}, invoke_id
            for row in rows:
                named = [step[1] for step in row.steps]
                assert len([what for what in named if what in TERMINAL]) <= 1 + named.count("replaced"), row
            found += statuses
        assert client.zrange(keys.UNFINISHED, 0, -1) == []
        assert client.zrange(keys.WATCH, 0, -1) == []
        assert list(client.scan_iter(f"{keys.INSTANCE_PREFIX}*:open")) == []
        wait_until(
            lambda: client.llen(REPORTS_QUEUE) == 0 and not list(client.scan_iter(f"{keys.TAKEN_PREFIX}*")),
            dead_aggregators_for_s,
            "all reports applied and settled",
        )
    return found
