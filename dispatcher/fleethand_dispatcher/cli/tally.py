"""What an invocation came to, in few words: equal outputs folded, failures by reason, one summary line."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from fleethand_common.states import LIVE, InstanceStatus

if TYPE_CHECKING:
    from fleethand_dispatcher.models import InvocationRecord, InvocationResult, Schedule

FOLD_FROM = 3
"""Hosts from which on a fold says more than the lines before it."""
_LINES_SHOWN = 20
_FOLDS_SHOWN = 20
_REASONS_SHOWN = 20
_IDS_SHOWN = 8
_TITLE_CHARACTERS = 60


class Fold(NamedTuple):
    """One output and the hosts that said it."""

    shown: tuple[str, ...]
    """Its first lines."""
    hidden: int
    """How many more it has."""
    instance_ids: list[str]
    verb: str
    """`said`, or `said so far` while they run."""


class Tally:
    """Adds up results one by one; of equal outputs it keeps one, and of each only what is shown."""

    def __init__(self) -> None:
        self._folds: dict[bytes, Fold] = {}
        self._reasons: dict[str, list[str]] = {}
        self._dropped: list[tuple[str, int]] = []
        self._altered: dict[str, list[str]] = {}

    def add(self, result: "InvocationResult") -> None:
        """Count one result."""
        status = result.invocation_status
        if result.output or status is InstanceStatus.SUCCESS:
            self._fold(result.instance_id, result.output, "said so far" if status in LIVE else "said")
        if status is not InstanceStatus.SUCCESS:
            self._reasons.setdefault(reason(result), []).append(result.instance_id)
        if not result.authentic:
            self._altered.setdefault(result.invoke_id, []).append(result.instance_id)
        if result.dropped:
            self._dropped.append((result.instance_id, result.dropped))

    def _fold(self, instance_id: str, output: str, verb: str) -> None:
        text = output.rstrip("\r\n")
        key = hashlib.blake2b(f"{verb}\n{text}".encode(errors="surrogatepass"), digest_size=16).digest()
        if key not in self._folds:
            lines = text.splitlines()
            self._folds[key] = Fold(tuple(lines[:_LINES_SHOWN]), max(0, len(lines) - _LINES_SHOWN), [], verb)
        self._folds[key].instance_ids.append(instance_id)

    @property
    def is_worth_folding(self) -> bool:
        """True if there are many hosts and some of them said the same."""
        said = sum(len(fold.instance_ids) for fold in self._folds.values())
        return said >= FOLD_FROM and len(self._folds) < said

    def folded(self) -> Iterator[str]:
        """Yield the lines of the fold: what most hosts said comes first."""
        folds = sorted(self._folds.values(), key=lambda fold: (-len(fold.instance_ids), min(fold.instance_ids)))
        for index, fold in enumerate(folds[:_FOLDS_SHOWN]):
            yield from _fold_lines(fold, name_hosts=index > 0)
        if more := folds[_FOLDS_SHOWN:]:
            yield f"{hosts(sum(len(fold.instance_ids) for fold in more))} said {len(more)} other things"

    def failures(self) -> Iterator[str]:
        """Yield one line per reason for which hosts did not succeed, the commonest first; before all, what is a lie."""
        for invoke_id, ids in self._altered.items():
            yield altered(invoke_id, ids)
        rows = sorted(self._reasons.items(), key=lambda row: (-len(row[1]), row[0]))
        for why, ids in rows[:_REASONS_SHOWN]:
            yield f"{why}: {_some(ids)}"
        if more := rows[_REASONS_SHOWN:]:
            yield f"… and {len(more)} more reasons on {hosts(sum(len(ids) for _, ids in more))}"
        for instance_id, dropped in sorted(self._dropped)[:_IDS_SHOWN]:
            yield f"{instance_id}: {dropped} bytes of output were dropped"
        if more_dropped := self._dropped[_IDS_SHOWN:]:
            yield f"… and output of {hosts(len(more_dropped))} more was cut"


def altered(invoke_id: str, ids: list[str]) -> str:
    """Return the warning that results were changed by somebody who is not the control plane."""
    return (
        f"WARNING: what is recorded of {_some(ids)} was altered in Redis; do not trust it,"
        f" and see 'fleethand invocation verify {invoke_id}'"
    )


def reason(result: "InvocationResult") -> str:
    """Say in one line why a host did not succeed, or where it is."""
    status = str(result.invocation_status)
    if result.invocation_status in LIVE:
        return f"{status}, {result.waiting}" if result.waiting else status
    parts = [status]
    if result.exit_code:
        parts.append(f"exit code {result.exit_code}")
    if result.error_code == "ExitCodeNonzero" and "killed" in result.error_info:
        parts.append(result.error_info.rstrip("."))
    elif result.error_code and result.error_code != "ExitCodeNonzero":
        parts.append(
            f"{result.error_code} ({result.error_info.rstrip('.')})" if result.error_info else result.error_code
        )
    if result.presumed:
        parts.append("presumed, the host is silent")
    if not result.authentic:
        parts.append("NOT AUTHENTIC")
    return ", ".join(parts)


def summary(record: "InvocationRecord") -> str:
    """Return the line that everything ends with; the time is from the call to the last host's end."""
    counts = ", ".join(counted(record.counts))
    took = ""
    if record.finished_time is not None:
        took_s = (record.finished_time - record.creation_time).total_seconds()
        took = f" in {took_s:.1f} s" if took_s >= 1 else f" in {took_s * 1000:.0f} ms"
    return f"{record.invoke_id} {record.invocation_status}: {hosts(record.instance_count)}, {counts or 'none'}{took}"


def title(record: "InvocationRecord | Schedule") -> str:
    """Return the name of the command that runs or, without one, the beginning of its script."""
    first_line = next(iter(record.command_content.strip().splitlines()), "")
    return record.command_name or first_line[:_TITLE_CHARACTERS]


def counted(counts: Mapping[InstanceStatus, int]) -> Iterator[str]:
    """Yield `187 Success`, `3 Failed`: success first, then in the order in which the statuses are declared."""
    by_name = {str(status): count for status, count in counts.items()}
    order = sorted(InstanceStatus, key=lambda status: status is not InstanceStatus.SUCCESS)
    return (f"{by_name[status]} {status}" for status in order if by_name.get(status))


def _fold_lines(fold: Fold, *, name_hosts: bool) -> Iterator[str]:
    ids = sorted(fold.instance_ids)
    who = ids[0] if len(ids) == 1 else hosts(len(ids))
    named = f" ({_some(ids)})" if name_hosts and len(ids) > 1 else ""
    if not fold.shown:
        yield f"{who}{named} said nothing"
    elif len(fold.shown) == 1:
        yield f"{who}{named} {fold.verb}: {fold.shown[0]}"
    else:
        yield f"{who}{named} {fold.verb}:"
        yield from (f"  {line}" for line in fold.shown)
        if fold.hidden:
            yield f"  … {fold.hidden} more lines"


def hosts(count: int) -> str:
    """Return `1 host` or `3 hosts`."""
    return "1 host" if count == 1 else f"{count} hosts"


def _some(ids: list[str]) -> str:
    shown = ", ".join(sorted(ids)[:_IDS_SHOWN])
    return shown + (f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else "")
