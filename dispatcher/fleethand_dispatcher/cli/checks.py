"""The checks of `fleethand doctor`: each looks at one thing and says whether it is well and, if not, the way out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from fleethand_common import __version__

if TYPE_CHECKING:
    from fleethand_dispatcher.cli.vitals import Vitals
    from fleethand_dispatcher.settings import Settings

_ALIVE_WITHIN_MS = 10_000
_CLOCK_OFF_MS = 5_000
_SLOW_ROUND_TRIP_S = 0.05
_BACKLOG_MANY = 10_000
_CONNECTIONS_PER_HOST = 2
_CONNECTIONS_OF_OURS = 64
"""Those of the control plane, beside the hosts'."""
_MEMORY_FULL_SHARE = 0.8
_SHOWN = 8
_RECENTLY_MS = 86_400_000
"""A day: what was seen longer ago is no news."""
_ALERTS = ("report.forged:", "host.refused:")
_HARMLESS = (":Expired", ":SeenBefore")
"""Refusals that come from delay, not from malice."""
OLDEST = {"redis": 7, "valkey": 8}
"""The oldest major versions that are supported."""


class Verdict(NamedTuple):
    """What one check found."""

    check: str
    verdict: Literal["ok", "warning", "fail"]
    found: str
    way_out: str = ""


def examine(vitals: "Vitals", settings: "Settings") -> list[Verdict]:
    """Return the verdict of every check."""
    return [check(vitals, settings) for check in CHECKS]


def reachable(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at how far away the server is; that it is there at all, everything else has shown."""
    found = f"{vitals.server} answers in {vitals.round_trip_s * 1000:.1f} ms"
    if vitals.round_trip_s > _SLOW_ROUND_TRIP_S:
        return Verdict("server", "warning", found, "run the control plane near its server")
    return Verdict("server", "ok", found)


def login(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether we log in as somebody who may do everything on the server."""
    if vitals.unbounded:
        way_out = "log in as a user of this part alone: `fleethand user create dispatcher`, and so for each part"
        return Verdict("login", "warning", "as `default`, who may do everything on the server", way_out)
    return Verdict("login", "ok", "not as `default` with all rights")


def version(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at which server it is."""
    name = "valkey" if vitals.info.get("server_name") == "valkey" else "redis"
    text = str(vitals.info.get(f"{name}_version") or vitals.info.get("redis_version") or "0")
    major = int(text.split(".", maxsplit=1)[0])
    if major < OLDEST[name]:
        return Verdict("version", "fail", f"{name} {text}", f"upgrade to {name} {OLDEST[name]} or later")
    return Verdict("version", "ok", f"{name} {text}")


def persistence(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at what a restart of the server would lose."""
    info = vitals.info
    if info.get("aof_enabled"):
        if info.get("aof_last_write_status", "ok") != "ok":
            return Verdict("persistence", "fail", "the append-only file cannot be written", "look at the server's disk")
        return Verdict("persistence", "ok", "append-only file")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return Verdict("persistence", "fail", "the last snapshot failed", "look at the server's disk and log")
    found = "snapshots at most: a restart of the server loses what came after the last one"
    return Verdict("persistence", "fail", found, "set `appendonly yes` on the server")


def eviction(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at what the server does when its memory is full."""
    policy, limit = str(vitals.info.get("maxmemory_policy", "noeviction")), int(vitals.info.get("maxmemory", 0))
    used = int(vitals.info.get("used_memory", 0))
    if policy != "noeviction" and limit:
        way_out = "set `maxmemory-policy noeviction`: anything else throws records and orders away"
        return Verdict("memory", "fail", f"maxmemory-policy {policy}", way_out)
    found = f"{used >> 20} MB used" + (f" of {limit >> 20} MB, {policy}" if limit else ", no limit")
    if limit and used > limit * _MEMORY_FULL_SHARE:
        return Verdict(
            "memory", "warning", found, "raise maxmemory, or keep less with retention_days, retention_results"
        )
    return Verdict("memory", "ok", found)


def connections(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether every host can connect."""
    limit, used = int(vitals.info.get("maxclients", 0)), int(vitals.info.get("connected_clients", 0))
    needed = _CONNECTIONS_PER_HOST * len(vitals.seen) + _CONNECTIONS_OF_OURS
    found = f"{used} of {limit or 'unknown'} connections, {needed} needed for {len(vitals.seen)} hosts"
    if limit and limit < needed:
        return Verdict("connections", "fail", found, f"set `maxclients {needed * 2}` and the file limit of the server")
    return Verdict("connections", "ok", found)


def clock(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether this machine's clock agrees with the server's, which everything here follows."""
    off_ms = vitals.wall_ms - vitals.server_ms
    found = f"{abs(off_ms) / 1000:.1f} s {'ahead of' if off_ms > 0 else 'behind'} the server's"
    if abs(off_ms) > _CLOCK_OFF_MS:
        return Verdict("clock", "warning", found, "let both follow a time server; deadlines follow the Redis server's")
    return Verdict("clock", "ok", found)


def aggregator(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether anyone reads what hosts report."""
    alive = [name for name, at_ms in vitals.aggregators.items() if vitals.server_ms - at_ms < _ALIVE_WITHIN_MS]
    if not alive:
        way_out = "start `fleethand aggregator`: without one no command ever ends"
        return Verdict("aggregator", "fail", "none works", way_out)
    return Verdict("aggregator", "ok", f"{len(alive)} working")


def beat(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether schedules fire and old records are cleared away."""
    way_out = (
        "start `celery -A fleethand_dispatcher.celery_app beat`: until then no schedule fires and no old record goes"
    )
    if vitals.beat_at_ms is None:
        return Verdict("beat", "fail", "none was ever started", way_out)
    silent_ms = vitals.server_ms - vitals.beat_at_ms
    if silent_ms > _ALIVE_WITHIN_MS:
        return Verdict("beat", "fail", f"silent for {silent_ms // 1000} s", way_out)
    waits_ms = vitals.server_ms - (vitals.fired_at_ms or vitals.server_ms)
    if waits_ms > _ALIVE_WITHIN_MS:
        found = f"works, but a run that fired waits for {waits_ms // 1000} s to be made"
        return Verdict(
            "beat", "fail", found, "its log says what keeps it; `fleethand user` gives its Redis user its rights"
        )
    return Verdict("beat", "ok", "ticks")


def backlog(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether reports are read as fast as they come."""
    found = f"{vitals.backlog} reports wait"
    if vitals.backlog > _BACKLOG_MANY:
        return Verdict("backlog", "warning", found, "start another `fleethand aggregator`")
    return Verdict("backlog", "ok", found)


def dead_reports(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether hosts say what nobody understands."""
    if vitals.dead_reports:
        way_out = "read them with `fleethand report dead`, then `--drop` them"
        return Verdict("dead reports", "warning", f"{vitals.dead_reports} set aside", way_out)
    return Verdict("dead reports", "ok", "none")


def forgeries(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether somebody has written reports or messages that no host, or no host's control plane, wrote."""
    fresh = {
        kind: times
        for kind, (times, last_ms) in vitals.security.items()
        if kind.startswith(_ALERTS) and not kind.endswith(_HARMLESS) and vitals.server_ms - last_ms < _RECENTLY_MS
    }
    if fresh:
        found = ", ".join(f"{times} {kind}" for kind, times in sorted(fresh.items()))
        way_out = "somebody can write to Redis who must not: see `fleethand audit list`, then change its passwords"
        return Verdict("forgeries", "warning", found, way_out)
    return Verdict("forgeries", "ok", "none in a day")


def records(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether what is recorded of hosts is what the control plane wrote."""
    if vitals.altered:
        way_out = "somebody has changed them in Redis; they are not used, and the hosts' next heartbeats mend them"
        return Verdict("records", "fail", f"{vitals.altered} records of hosts are not ours", way_out)
    return Verdict("records", "ok", "as they were written")


def clones(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether two machines use one identity."""
    fresh = sorted(name for name, at_ms in vitals.cloned.items() if vitals.server_ms - at_ms < _RECENTLY_MS)
    if fresh:
        names = ", ".join(fresh[:_SHOWN]) + (" …" if len(fresh) > _SHOWN else "")
        way_out = "register one of the two machines anew, under an id of its own"
        return Verdict("clones", "fail", f"two machines each answer as {names}", way_out)
    return Verdict("clones", "ok", "none in a day")


def hosts(vitals: "Vitals", settings: "Settings") -> Verdict:
    """Look at which hosts are silent."""
    oldest_ms = vitals.server_ms - settings.online_within_s * 1000
    silent = sorted(name for name, at_ms in vitals.seen.items() if at_ms < oldest_ms)
    if not vitals.seen:
        return Verdict("hosts", "warning", "none was ever seen", "start `fleethand-worker start` on a host")
    found = f"{len(vitals.seen) - len(silent)} of {len(vitals.seen)} online"
    if silent:
        names = ", ".join(silent[:_SHOWN]) + (" …" if len(silent) > _SHOWN else "")
        return Verdict("hosts", "warning", f"{found}; silent: {names}", "see `fleethand instance list --offline`")
    return Verdict("hosts", "ok", found)


def versions(vitals: "Vitals", _: "Settings") -> Verdict:
    """Look at whether hosts run the worker of this version."""
    found = ", ".join(f"{count} with {name or 'unknown'}" for name, count in sorted(vitals.worker_versions.items()))
    if set(vitals.worker_versions) - {__version__}:
        return Verdict("versions", "warning", f"{found}; here {__version__}", "upgrade the others when it suits you")
    return Verdict("versions", "ok", found or "no hosts")


CHECKS: "tuple[Callable[[Vitals, Settings], Verdict], ...]" = (
    reachable,
    login,
    version,
    persistence,
    eviction,
    connections,
    clock,
    aggregator,
    beat,
    backlog,
    dead_reports,
    forgeries,
    records,
    clones,
    hosts,
    versions,
)
