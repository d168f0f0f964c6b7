"""The checks of `fleethand doctor`."""

from typing import Any

import pytest

from fleethand_common import __version__
from fleethand_dispatcher.cli.checks import CHECKS, examine
from fleethand_dispatcher.cli.vitals import Vitals
from fleethand_dispatcher.settings import Settings

NOW = 1_800_000_000_000
INFO = {
    "redis_version": "7.2.4",
    "server_name": "valkey",
    "valkey_version": "8.1.0",
    "aof_enabled": 1,
    "maxclients": 10_000,
}
WELL: dict[str, Any] = {
    "server": "redis://server", "unbounded": False, "round_trip_s": 0.001, "info": INFO,
    "server_ms": NOW, "wall_ms": NOW + 20,
    "aggregators": {"a": NOW - 400}, "beat_at_ms": NOW - 900, "fired_at_ms": None, "backlog": 3, "dead_reports": 0,
    "seen": {"web-1": NOW - 9},
    "security": {
        "report.forged:NotSealed": (7, NOW - 2 * 86_400_000),
        "heartbeat.ignored:Replayed": (3, NOW),
        "host.refused:Expired": (3, NOW),
    },
    "cloned": {"web-1": NOW - 2 * 86_400_000}, "altered": 0,
    "worker_versions": {__version__: 1},
}  # fmt: skip


def verdicts(**fields: Any) -> dict[str, str]:
    """Return the verdict of each check on a server that is well but for *fields*."""
    found = examine(Vitals(**{**WELL, **fields}), Settings())
    assert all(verdict.way_out for verdict in found if verdict.verdict != "ok"), "each trouble has a way out"
    return {verdict.check: verdict.verdict for verdict in found}


def test_all_is_well() -> None:
    """Every check has a name of its own and says ok."""
    assert set(verdicts().values()) == {"ok"}
    assert len(verdicts()) == len(CHECKS)


@pytest.mark.parametrize(
    ("fields", "check", "verdict"),
    [
        ({"round_trip_s": 0.2}, "server", "warning"),
        ({"unbounded": True}, "login", "warning"),
        ({"info": {**INFO, "valkey_version": "7.2.4"}}, "version", "fail"),
        ({"info": {**INFO, "server_name": "redis", "redis_version": "6.2.1"}}, "version", "fail"),
        ({"info": {**INFO, "aof_enabled": 0}}, "persistence", "fail"),
        ({"info": {**INFO, "aof_last_write_status": "err"}}, "persistence", "fail"),
        ({"info": {**INFO, "aof_enabled": 0, "rdb_last_bgsave_status": "err"}}, "persistence", "fail"),
        ({"info": {**INFO, "maxmemory": 1 << 30, "maxmemory_policy": "allkeys-lru"}}, "memory", "fail"),
        ({"info": {**INFO, "maxmemory": 1 << 30, "used_memory": 1 << 30}}, "memory", "warning"),
        ({"info": {**INFO, "maxclients": 50}}, "connections", "fail"),
        ({"wall_ms": NOW + 9000}, "clock", "warning"),
        ({"aggregators": {}}, "aggregator", "fail"),
        ({"aggregators": {"a": NOW - 60_000}}, "aggregator", "fail"),
        ({"beat_at_ms": None}, "beat", "fail"),
        ({"beat_at_ms": NOW - 60_000}, "beat", "fail"),
        ({"fired_at_ms": NOW - 60_000}, "beat", "fail"),
        ({"fired_at_ms": NOW - 600}, "beat", "ok"),
        ({"backlog": 50_000}, "backlog", "warning"),
        ({"dead_reports": 2}, "dead reports", "warning"),
        ({"security": {"report.forged:DoesNotOpen": (1, NOW - 1000)}}, "forgeries", "warning"),
        ({"security": {"host.refused:Altered": (1, NOW - 1000)}}, "forgeries", "warning"),
        ({"cloned": {"web-1": NOW - 1000}}, "clones", "fail"),
        ({"altered": 1}, "records", "fail"),
        ({"seen": {}}, "hosts", "warning"),
        ({"seen": {"web-1": NOW - 200_000}}, "hosts", "warning"),
        ({"worker_versions": {"0.0.1": 3}}, "versions", "warning"),
    ],
)
def test_each_trouble_is_seen_by_its_check_alone(fields: dict[str, Any], check: str, verdict: str) -> None:
    """One trouble, one verdict that is not ok."""
    found = verdicts(**fields)
    assert found.pop(check) == verdict
    assert set(found.values()) == {"ok"}
