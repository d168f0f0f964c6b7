"""Real workers beside plain Celery workers: from call to result, and what one costs while it idles."""

import contextlib
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import celery
import psutil
import redis

from bench.figure import Figure, median_s, ms, times
from bench.plain import app, shell
from fleethand_common.states import InvocationStatus
from fleethand_dispatcher import Dispatcher
from processes import BIN, Program, Programs
from waiting import wait_until

FLEET = 20
IDLE_S = 30


def measure(url: str, folder: Path) -> Iterator[Figure]:
    """Yield the figures of real workers on the empty server at *url*."""
    programs = Programs(folder / "programs")
    environ = {"FLEETHAND_REDIS_URL": url, "BENCH_REDIS_URL": url}
    try:
        programs.start(BIN / "fleethand", "aggregator", name="aggregator", environ=environ)
        ours = [_start_worker(programs, number, environ) for number in range(FLEET)]
        plain = [_start_plain(programs, number, environ) for number in range(FLEET)]
        with Dispatcher(url) as dispatcher, redis.Redis.from_url(url, decode_responses=True) as client:
            _wait_ready(dispatcher, plain)
            yield from _latency(dispatcher)
            yield from _idle(client, ours[0], plain[0])
    finally:
        programs.kill_all()


def _start_worker(programs: Programs, number: int, environ: dict[str, str]) -> Program:
    state_dir = programs.folder / "state" / str(number)
    argv = [BIN / "fleethand-worker", "start", "--instance-id", f"host-{number}", "--state-dir", state_dir]
    return programs.start(*argv, name=f"worker-{number}", environ=environ)


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


def _wait_ready(dispatcher: Dispatcher, plain: list[Program]) -> None:
    wait_until(lambda: len(dispatcher.describe_instances(online=True).items) == FLEET, 120, "our workers online")
    for program in plain:
        program.wait_for_output("ready.", 120)


def _latency(dispatcher: Dispatcher) -> Iterator[Figure]:
    everyone = [f"host-{number}" for number in range(FLEET)]

    def ours(instance_ids: list[str]) -> Callable[[], None]:
        def call() -> None:
            record = dispatcher.run_command(command_content="echo hi", instance_ids=instance_ids).wait(30)
            assert record.invocation_status is InvocationStatus.SUCCESS

        return call

    def group() -> None:
        signatures = [shell.signature(("echo hi",), queue=f"plain-{number}") for number in range(FLEET)]
        celery.group(signatures)().get(timeout=30)

    def one() -> None:
        app.send_task("plain.shell", ["echo hi"], queue="plain-0").get(timeout=30, interval=0.001)

    def bare() -> None:
        subprocess.run(["/bin/sh", "-c", "echo hi"], capture_output=True, check=True)

    fleet_s, group_s = median_s(ours(everyone), runs=25, warmup=3), median_s(group, runs=7, warmup=2)
    beside = f"Celery group of subprocess.run: {ms(group_s)}"
    yield Figure(
        f"{FLEET} workers, `echo hi`, call to Success", ms(fleet_s), "60 ms, 8 x", beside, times(group_s / fleet_s)
    )
    one_s, plain_s = median_s(ours(["host-0"]), runs=50, warmup=5), median_s(one, runs=50, warmup=5)
    bare_s = median_s(bare, runs=50, warmup=5)
    yield Figure(
        "one worker, the same", ms(one_s), "6 ms", f"apply_async().get(): {ms(plain_s)}", times(plain_s / one_s)
    )
    yield Figure(
        "one worker, beside fork and exec alone", ms(one_s), "", f"subprocess.run: {ms(bare_s)}", times(one_s / bare_s)
    )


def _idle(client: "redis.Redis", ours: Program, plain: Program) -> Iterator[Figure]:
    our_family, plain_family = _family(ours.pid), _family(plain.pid)
    begin = time.monotonic()
    before = [_cpu_s(our_family), _cpu_s(plain_family)]
    time.sleep(IDLE_S)  # the figure is what they burn in this time, there is nothing to wait for
    spent = time.monotonic() - begin
    after = [_cpu_s(our_family), _cpu_s(plain_family)]
    our_cpu, plain_cpu = ((late - early) / spent * 100 for late, early in zip(after, before, strict=True))
    our_pss, plain_pss = _pss_mb(our_family), _pss_mb(plain_family)
    yield Figure(
        "idle worker, proportional memory",
        f"{our_pss:.1f} MB",
        "38 MB",
        f"default Celery worker: {plain_pss:.1f} MB",
        times(plain_pss / our_pss),
    )
    yield Figure(
        "idle worker, share of a core",
        f"{our_cpu:.3f} %",
        "0.1 %",
        f"default Celery worker: {plain_cpu:.3f} %",
        times(plain_cpu / max(our_cpu, 0.001)),
    )
    our_links, plain_links = (_connections(client, family) for family in (our_family, plain_family))
    yield Figure(
        "idle worker, connections to Redis",
        str(our_links),
        "2",
        f"default Celery worker: {plain_links}",
        times(plain_links / max(our_links, 1)),
    )


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _pss_mb(family: list[psutil.Process]) -> float:
    return statistics.fsum(process.memory_full_info().pss for process in family) / 1e6


def _cpu_s(family: list[psutil.Process]) -> float:
    return statistics.fsum(sum(process.cpu_times()[:2]) for process in family)


def _connections(client: "redis.Redis", family: list[psutil.Process]) -> int:
    ports = set()
    for process in family:
        with contextlib.suppress(psutil.Error):
            ports |= {link.laddr.port for link in process.net_connections("tcp") if link.laddr}
    return sum(int(entry["addr"].rsplit(":", 1)[1]) in ports for entry in client.client_list())
