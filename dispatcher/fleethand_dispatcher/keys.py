"""The key dictionary: every key that the records use, what it holds, and the functions that spell it.

| key | holds |
|---|---|
| `fleethand:commands` | sorted set, kept command id by time of creation |
| `fleethand:command:<c>` | hash `body` (JSON of the command), `invoke_times` |
| `fleethand:invocations` | sorted set, invocation id by time of creation |
| `fleethand:unfinished` | sorted set, the invocations that have an unfinished instance |
| `fleethand:inv:<t>` | hash, the head: `snapshot`, `order`, times, `total`, `unfinished`, `n:<Status>` counters |
| … of a run | in its head `parent`, the schedule |
| … of a schedule | in its head `repeating`, `entries`, `stop_on_failure`, `paused_at`, `next:<zone>`, `fired:<zone>` |
| `fleethand:inv:<t>:rows` | hash, instance id to its row (JSON, `rows.Row`) |
| `fleethand:inv:<t>:targets` | list, instance ids in the caller's order |
| `fleethand:inv:<t>:outputs` | hash, digest to output; equal outputs stand once |
| `fleethand:inv:<t>:live` | hash, instance id to its output so far, `<i>@` to the last offset |
| `fleethand:inv:<t>:events` | stream, what happened, for `follow` |
| `fleethand:inv:<t>:done` | stream, an entry whenever the last instance finished, for `wait` |
| `fleethand:inv:<t>:runs` | hash, of a schedule: run id to what became of it (JSON, `occurrences.Run`) |
| `fleethand:inv:<t>:dues` | sorted set, of a schedule: run id by the time it was due |
| `fleethand:inv:<t>:active` | set, of a schedule: the runs that have not finished |
| `fleethand:schedules` | hash, id of a living schedule to its definition (`definitions.Definition`) |
| `fleethand:due` | sorted set, `<t>`, or `<t>|<zone>` of a schedule in the hosts' own zones, by when it must fire |
| `fleethand:firings` | stream, the outbox: occurrences (`occurrences.Occurrence`) that are not yet expanded into runs |
| `fleethand:runs` | sorted set, the runs of all schedules by time of creation |
| `fleethand:beat` | hash, the lease on the beat: `holder`, `epoch`, `at_ms`, `until_ms` |
| `fleethand:watch` | sorted set, `<t>|<i>` by the time when the reaper must look at the row |
| `fleethand:instances` | hash, instance id to the facts of its last heartbeat, `<i>@` to when it was first seen |
| `fleethand:seen` | sorted set, instance id by its last heartbeat |
| `fleethand:invoked` | hash, instance id to when it last started a command |
| `fleethand:instance:<i>:open` | sorted set, invocations that it must still get a message for, an order or a stop |
| `fleethand:instance:<i>:invocations` | sorted set, the invocations that target it |
| `fleethand:token:<verb>:<token>` | string, what a client token stands for; gone after a day |
| `fleethand:results` | number of rows held |
| `fleethand:day:<date>` | number of invocations of that day; gone after two |
| `fleethand:aggregators` | hash, aggregator id to when it last took reports |
| `fleethand:reports:taken:<a>` | list, reports that aggregator has taken and not yet applied |
| `fleethand:reports:dead` | list, reports set aside, with the reason |

Times are milliseconds since 1970 on the server's clock. Queues are in `celery_config`.
"""

from typing import NamedTuple

COMMANDS = "fleethand:commands"
INVOCATIONS = "fleethand:invocations"
UNFINISHED = "fleethand:unfinished"
WATCH = "fleethand:watch"
INSTANCES = "fleethand:instances"
SEEN = "fleethand:seen"
INVOKED = "fleethand:invoked"
RESULTS = "fleethand:results"
SCHEDULES = "fleethand:schedules"
DUE = "fleethand:due"
FIRINGS = "fleethand:firings"
RUNS = "fleethand:runs"
AGGREGATORS = "fleethand:aggregators"
TAKEN_PREFIX = "fleethand:reports:taken:"
DEAD_REPORTS = "fleethand:reports:dead"
INVOCATION_PREFIX = "fleethand:inv:"
INSTANCE_PREFIX = "fleethand:instance:"


class InvocationKeys(NamedTuple):
    """The keys of one invocation."""

    head: str
    rows: str
    targets: str
    outputs: str
    live: str
    events: str
    done: str
    runs: str
    dues: str
    active: str


def invocation(invoke_id: str) -> InvocationKeys:
    """Return the keys of one invocation."""
    head = INVOCATION_PREFIX + invoke_id
    return InvocationKeys(head, *(f"{head}:{part}" for part in InvocationKeys._fields[1:]))


def command(command_id: str) -> str:
    """Return the key of one command."""
    return f"fleethand:command:{command_id}"


def instance_open(instance_id: str) -> str:
    """Return the key of what must still be sent to an instance."""
    return f"{INSTANCE_PREFIX}{instance_id}:open"


def instance_invocations(instance_id: str) -> str:
    """Return the key of the invocations that target an instance."""
    return f"{INSTANCE_PREFIX}{instance_id}:invocations"


def token(verb: str, client_token: str) -> str:
    """Return the key of one client token."""
    return f"fleethand:token:{verb}:{client_token}"


def day(date: str) -> str:
    """Return the key of the number of invocations on one day."""
    return f"fleethand:day:{date}"


def counter(status: str) -> str:
    """Return the field of a head that counts the instances in *status*."""
    return f"n:{status}"
