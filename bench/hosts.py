"""Real workers beside plain Celery workers: from call to result, and what one costs while it idles."""

import contextlib
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import celery
import psutil

from bench.figure import Figure, median_s, ms, times
from bench.plain import app, shell
from enrolled import enrol_worker
from fleethand_common.clock import elapsed_s
from fleethand_common.states import InvocationStatus
from fleethand_dispatcher import Dispatcher
from fleethand_dispatcher.keyring import Keyring
from processes import BIN, Program, Programs
from waiting import wait_until

T = TypeVar("T")

FLEET = 20
IDLE_S = 30


def measure(url: str, folder: Path, keyring: Keyring) -> Iterator[Figure]:
    """Yield the figures of real workers on the empty server at *url*; ours and the plain ones by turns, never both."""
    plain = _with(_start_plain, url, folder / "plain", keyring, _measure_plain)
    ours = _with(_start_worker, url, folder / "ours", keyring, lambda programs: _measure_ours(url, keyring, programs))
    yield from _figures(ours, plain)


class Measured(NamedTuple):
    """What was measured of one kind of worker; durations in seconds."""

    idle: "Idle"
    cold_s: float
    fleet_s: float
    one_s: float


class Idle(NamedTuple):
    """What one worker costs while nothing is to be done."""

    pss_mb: float
    core_percent: float
    connections: int


def _with(
    start: Callable[[Programs, int, dict[str, str]], Program],
    url: str,
    folder: Path,
    keyring: Keyring,
    use: Callable[[list[Program]], T],
) -> T:
    programs = Programs(folder)
    environ = {"FLEETHAND_REDIS_URL": url, "BENCH_REDIS_URL": url}
    try:
        for number in range(FLEET):
            enrol_worker(url, keyring, f"host-{number}", _state_dir(programs, number))
        keys = {"FLEETHAND_KEYS_DIR": str(keyring.folder)}
        programs.start(BIN / "fleethand", "aggregator", name="aggregator", environ={**environ, **keys})
        return use([start(programs, number, environ) for number in range(FLEET)])
    finally:
        programs.kill_all()


def _measure_plain(programs: list[Program]) -> Measured:
    for program in programs:
        program.wait_for_output("ready.", 120)

    def group() -> None:
        signatures = [shell.signature(("echo hi",), queue=f"plain-{number}") for number in range(FLEET)]
        celery.group(signatures)().get(timeout=30)

    def one() -> None:
        app.send_task("plain.shell", ["echo hi"], queue="plain-0").get(timeout=30, interval=0.001)

    idle = _idle(programs[0])
    cold_s = median_s(group, runs=1, warmup=0)
    return Measured(idle, cold_s, median_s(group, runs=9, warmup=2), median_s(one, runs=100, warmup=10))


def _measure_ours(url: str, keyring: Keyring, programs: list[Program]) -> Measured:
    everyone = [f"host-{number}" for number in range(FLEET)]
    with Dispatcher(url, keyring=keyring) as dispatcher:
        wait_until(lambda: len(dispatcher.describe_instances(online=True).items) == FLEET, 120, "our workers online")

        def run(instance_ids: list[str]) -> None:
            record = dispatcher.run_command(command_content="echo hi", instance_ids=instance_ids).wait(30)
            assert record.invocation_status is InvocationStatus.SUCCESS

        idle = _idle(programs[0])
        cold_s = median_s(lambda: run(everyone), runs=1, warmup=0)
        fleet_s = median_s(lambda: run(everyone), runs=50, warmup=5)
        return Measured(idle, cold_s, fleet_s, median_s(lambda: run(["host-0"]), runs=100, warmup=10))


def _figures(ours: Measured, plain: Measured) -> Iterator[Figure]:
    bare_s = median_s(_fork_and_exec, runs=50, warmup=5)
    group = f"Celery group of subprocess.run: {ms(plain.fleet_s)}"
    what = f"{FLEET} workers, `echo hi`, call to Success"
    yield Figure(what, ms(ours.fleet_s), "60 ms, 8 x", group, times(plain.fleet_s / ours.fleet_s))
    cold = f"the first group: {ms(plain.cold_s)}"
    what = f"{FLEET} workers, the first command after a quiet minute"
    yield Figure(what, ms(ours.cold_s), "", cold, times(plain.cold_s / ours.cold_s))
    one = f"apply_async().get(): {ms(plain.one_s)}"
    yield Figure("one worker, `echo hi`, call to Success", ms(ours.one_s), "6 ms", one, times(plain.one_s / ours.one_s))
    bare = f"subprocess.run: {ms(bare_s)}"
    yield Figure("one worker, beside fork and exec alone", ms(ours.one_s), "", bare, times(ours.one_s / bare_s))
    mine, theirs = ours.idle, plain.idle
    beside = f"default Celery worker: {theirs.pss_mb:.1f} MB"
    yield Figure("idle worker, memory", f"{mine.pss_mb:.1f} MB", "38 MB", beside, times(theirs.pss_mb / mine.pss_mb))
    beside = f"default Celery worker: {theirs.core_percent:.3f} %"
    least = 1 / IDLE_S  # in percent: one tick of the kernel's accounting, a hundredth of a second
    share = f"{mine.core_percent:.3f} %" if mine.core_percent > least else f"below {least:.3f} %"
    ratio = times(theirs.core_percent / max(mine.core_percent, least))
    yield Figure("idle worker, share of a core", share, "0.1 %", beside, ratio)
    beside = f"default Celery worker: {theirs.connections}"
    ratio = times(theirs.connections / max(mine.connections, 1))
    yield Figure("idle worker, connections to Redis", str(mine.connections), "2", beside, ratio)


def _fork_and_exec() -> None:
    subprocess.run(["/bin/sh", "-c", "echo hi"], capture_output=True, check=True)


def _start_worker(programs: Programs, number: int, environ: dict[str, str]) -> Program:
    argv = [BIN / "fleethand-worker", "start", "--state-dir", _state_dir(programs, number)]
    return programs.start(*argv, name=f"worker-{number}", environ=environ)


def _state_dir(programs: Programs, number: int) -> Path:
    return programs.folder / "state" / str(number)


def _start_plain(programs: Programs, number: int, environ: dict[str, str]) -> Program:
    argv = [
        "-A",
        "bench.plain",
        "worker",
        "-c",
        "1",
        "-Q",
        f"plain-{number}",
        "-n",
        f"plain-{number}@bench",
        "-l",
        "INFO",
    ]
    environ = {**environ, "PYTHONPATH": str(Path.cwd())}
    return programs.start(BIN / "celery", *argv, name=f"plain-{number}", environ=environ)


def _idle(program: Program) -> Idle:
    family = _family(program.pid)
    begin_s, before_s = elapsed_s(), _cpu_s(family)
    time.sleep(IDLE_S)  # the figure is what it burns in this time, there is nothing to wait for
    burnt = (_cpu_s(family) - before_s) / (elapsed_s() - begin_s) * 100
    return Idle(_pss_mb(family), burnt, _connections(family))


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _pss_mb(family: list[psutil.Process]) -> float:
    return statistics.fsum(process.memory_full_info().pss for process in family) / 1e6


def _cpu_s(family: list[psutil.Process]) -> float:
    return statistics.fsum(sum(process.cpu_times()[:2]) for process in family)


def _connections(family: list[psutil.Process]) -> int:
    links = 0
    for process in family:
        with contextlib.suppress(psutil.Error):
            links += sum(link.status == psutil.CONN_ESTABLISHED for link in process.net_connections("tcp"))
    return links
