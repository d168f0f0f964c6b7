"""The key dictionary: every key that the records use, what it holds, and the functions that spell it.

| key | holds |
|---|---|
| `fleethand:commands` | sorted set, kept command id by time of creation |
| `fleethand:command:<c>` | hash `body` (JSON of the command, sealed), `invoke_times` |
| `fleethand:invocations` | sorted set, invocation id by time of creation |
| `fleethand:unfinished` | sorted set, the invocations that have an unfinished instance |
| `fleethand:inv:<t>` | hash, the head: `snapshot`, `order` (sealed), letters, `mark`, times, `total`, `n:<Status>` … |
| … of a schedule | in its head `repeating`, `entries`, `stop_on_failure`, `paused_at`, `{next,last,fired}:<zone>` |
| `fleethand:inv:<t>:rows` | hash, instance id to its row (JSON, `rows.Row`; one that has ended carries a mark) |
| `fleethand:inv:<t>:targets` | list, instance ids in the caller's order |
| `fleethand:inv:<t>:outputs` | hash, keyed digest to output (sealed); equal outputs stand once |
| `fleethand:inv:<t>:live` | hash, instance id to its output so far (sealed, line by line), `<i>@` to the last offset |
| `fleethand:inv:<t>:events` | stream, what happened, for `follow`; pieces of output are sealed |
| `fleethand:inv:<t>:done` | stream, an entry whenever the last instance finished, for `wait` |
| `fleethand:inv:<t>:tokens` | hash, instance id to its order's token, `<i>!` to its stop's; while unfinished |
| `fleethand:inv:<t>:runs` | hash, of a schedule: run id to what became of it (JSON, `occurrences.Run`) |
| `fleethand:inv:<t>:dues` | sorted set, of a schedule: run id by the time it was due |
| `fleethand:inv:<t>:active` | set, of a schedule: the runs that have not finished |
| `fleethand:schedules` | hash, id of a living schedule to its definition (`definitions.Definition`, sealed) |
| `fleethand:due` | sorted set, `<t>`, or `<t>|<zone>` of a schedule in the hosts' own zones, by when it must fire |
| `fleethand:firings` | stream, the outbox: occurrences (`occurrences.Occurrence`, marked) that are not yet runs |
| `fleethand:held` | set, entries of `fleethand:due` that a freeze holds back |
| `fleethand:runs` | sorted set, the runs of all schedules by time of creation |
| `fleethand:watch` | sorted set, `<t>|<i>` by the time when the reaper must look at the row |
| `fleethand:instances` | hash, instance id to its last heartbeat (marked JSON), `<i>@` to when it was first seen |
| `fleethand:seen` | sorted set, instance id by its last heartbeat |
| `fleethand:invoked` | hash, instance id to when it last started a command |
| `fleethand:instance:<i>:open` | sorted set, invocations that it must still get a message for, an order or a stop |
| `fleethand:instance:<i>:invocations` | sorted set, the invocations that target it |
| `fleethand:token:<verb>:<token>` | string, what a client token stands for; gone after a day |
| `fleethand:hosts` | hash, instance id to what was agreed with it when it was enrolled (sealed) |
| `fleethand:hosts:version` | number that grows whenever a host is enrolled or gone |
| `fleethand:principals` | hash, name to who may use an API key, with the keys' digests and policies (sealed) |
| `fleethand:policies` | hash, name to a policy document (sealed) |
| `fleethand:principals:version` | number that grows whenever a principal or a policy changes |
| `fleethand:machine:<mark>` | set, instances enrolled with one machine id; the mark is the vault's |
| `fleethand:activations` | hash, activation id to the activation (sealed) |
| `fleethand:activation:<a>` | hash `registered`, `deregistered`, `failures` of one activation |
| `fleethand:enrolment:<e>` | hash `body`, `counted`, `until`, `answer` of an enrolment under way, for a while |
| `fleethand:registrar` | string, URL and pin of the registration service (sealed) |
| `fleethand:audit` | stream, the audit log: an entry's number to its `body` (JSON) and `mark` |
| `fleethand:directives` | sorted set, directives with their tokens (JSON) by sequence |
| `fleethand:results` | number of rows held |
| `fleethand:day:<date>` | number of invocations of that day; gone after two |
| `fleethand:beat` | hash `holder`, `epoch`, `at_ms`, `until_ms`: the lease on the beat, and its sign of life |
| `fleethand:aggregators` | hash, aggregator id to when it last took reports |
| `fleethand:reports:taken:<a>` | list, reports that aggregator has taken and not yet applied |
| `fleethand:reports:dead` | list, reports set aside, with the reason |
| `fleethand:security` | hash, how often what did not look right, by kind, `<kind>@` to when it last did |

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
HOSTS = "fleethand:hosts"
HOSTS_VERSION = "fleethand:hosts:version"
PRINCIPALS = "fleethand:principals"
POLICIES = "fleethand:policies"
PRINCIPALS_VERSION = "fleethand:principals:version"
ACTIVATIONS = "fleethand:activations"
REGISTRAR = "fleethand:registrar"
AUDIT = "fleethand:audit"
DIRECTIVES = "fleethand:directives"
RESULTS = "fleethand:results"
BEAT = "fleethand:beat"
SCHEDULES = "fleethand:schedules"
DUE = "fleethand:due"
FIRINGS = "fleethand:firings"
HELD = "fleethand:held"
RUNS = "fleethand:runs"
AGGREGATORS = "fleethand:aggregators"
TAKEN_PREFIX = "fleethand:reports:taken:"
DEAD_REPORTS = "fleethand:reports:dead"
SECURITY = "fleethand:security"
INVOCATION_PREFIX = "fleethand:inv:"
INSTANCE_PREFIX = "fleethand:instance:"
STOP_MARK = "!"
"""Follows the instance id in the name of the field that holds the token of its stop."""


class InvocationKeys(NamedTuple):
    """The keys of one invocation."""

    head: str
    rows: str
    targets: str
    outputs: str
    live: str
    events: str
    done: str
    tokens: str
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


def machine(mark: str) -> str:
    """Return the key of the instances that were enrolled with one machine id."""
    return f"fleethand:machine:{mark}"


def activation(activation_id: str) -> str:
    """Return the key of one activation's counters."""
    return f"fleethand:activation:{activation_id}"


def enrolment(enrolment_id: str) -> str:
    """Return the key of one enrolment that is under way."""
    return f"fleethand:enrolment:{enrolment_id}"


def token(verb: str, client_token: str) -> str:
    """Return the key of one client token."""
    return f"fleethand:token:{verb}:{client_token}"


def day(date: str) -> str:
    """Return the key of the number of invocations on one day."""
    return f"fleethand:day:{date}"


def counter(status: str) -> str:
    """Return the field of a head that counts the instances in *status*."""
    return f"n:{status}"
