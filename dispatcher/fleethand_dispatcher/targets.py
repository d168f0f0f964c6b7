"""Which instances a call reaches, and which of them are there."""

import fnmatch
import math
from collections.abc import Callable, Container, Sequence
from fractions import Fraction
from typing import NamedTuple

from fleethand_common.messages import Heartbeat
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.instance_records import InstanceRecords
from fleethand_dispatcher.peers import Peers
from fleethand_dispatcher.requests import TargetsRequest
from fleethand_dispatcher.store import Store


class Targets(NamedTuple):
    """Instances in the caller's order, or sorted where the caller gave none, parted by what is known of them.

    Unknown is what is not enrolled: nothing can be written to it.
    """

    all: tuple[str, ...]
    online: tuple[str, ...]
    offline: tuple[str, ...]
    unknown: tuple[str, ...]


class Resolved(NamedTuple):
    """Targets, and when they were looked at."""

    targets: Targets
    now_ms: int


def resolve(request: TargetsRequest, store: Store, peers: Peers, *, online_within_ms: int, maximum: int) -> Resolved:
    """Find the instances that *request* means.

    Raises:
        RequestError: nothing or too much was asked for, nothing matches, or an id is unknown and must not be.
    """
    _check_one_kind(request)
    found = request.instance_ids or _matching(request, store.instances)
    chosen = share(request, found)
    if len(chosen) > maximum:
        raise refusal("InstanceIds.ExceedLimit", f"{len(chosen)} instances are meant; {maximum} are allowed.")
    now_ms, seen, hosts_version = store.look(chosen)
    enrolled = peers.keys_of(chosen, hosts_version)
    targets = part(chosen, seen=seen, enrolled=enrolled, online_since_ms=now_ms - online_within_ms)
    if request.require_known and targets.unknown:
        raise refusal("InvalidInstance.NotFound", f"Unknown: {', '.join(targets.unknown[:10])}.")
    return Resolved(targets, now_ms)


def _check_one_kind(request: TargetsRequest) -> None:
    kinds = [bool(request.instance_ids), bool(request.tags or request.names), request.all_instances]
    if not any(kinds):
        raise refusal("MissingParam.InstanceId", "Name instances by id, tag or name, or ask for all.")
    if sum(kinds) > 1:
        raise refusal("InvalidResourceTag.ConflictWithInstanceIds", "Give ids, or tags and names, or all instances.")


def share(request: TargetsRequest, found: Sequence[str]) -> Sequence[str]:
    """Return as many of *found* as the request's limit leaves."""
    return found[: _share(request.limit, len(found))]


def matcher(tags: dict[str, str], names: tuple[str, ...]) -> Callable[[Heartbeat], bool]:
    """Return a test: all *tags* equal, and the name or the id like one of the globs."""

    def matches(facts: Heartbeat) -> bool:
        if any(facts.tags.get(key) != value for key, value in tags.items()):
            return False
        return not names or any(
            fnmatch.fnmatchcase(text, glob) for glob in names for text in (facts.name, facts.instance_id)
        )

    return matches


def _matching(request: TargetsRequest, records: InstanceRecords) -> tuple[str, ...]:
    matches = matcher(dict(request.tags), request.names)
    found = tuple(sorted(facts.instance_id for facts in records.facts() if matches(facts)))
    if not found:
        if request.tags:
            asked = ", ".join(f"{key}={value}" for key, value in request.tags.items())
            raise refusal("InvalidResourceTag.InstanceNotFound", f"No instance has {asked}.")
        asked = f"No instance is called {' or '.join(request.names)}." if request.names else "No instance is known yet."
        raise refusal("InvalidInstance.NotFound", asked)
    return found


def _share(limit: str | None, count: int) -> int:
    if limit is None:
        return count
    if limit.endswith("%"):
        return math.ceil(count * Fraction(limit[:-1].strip()) / 100)  # 64.4 % of 250 as a float is 162
    return int(limit)


def part(
    instance_ids: Sequence[str], *, seen: Sequence[int | None], enrolled: Container[str], online_since_ms: int
) -> Targets:
    """Part instances by whether they are enrolled, and by when each was last *seen*."""
    online: list[str] = []
    offline: list[str] = []
    unknown: list[str] = []
    for instance_id, at in zip(instance_ids, seen, strict=True):
        if instance_id not in enrolled:
            unknown.append(instance_id)
        else:
            (online if at is not None and at >= online_since_ms else offline).append(instance_id)
    return Targets(tuple(instance_ids), tuple(online), tuple(offline), tuple(unknown))
