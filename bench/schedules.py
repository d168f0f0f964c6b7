"""Schedules: how late they fire, how many at once, what an idle beat costs; hosts are queues here."""

import statistics
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
import redis

from bench.figure import Figure, median_s, ms, times
from bench.plain_beats import DUE, LOADED, QUEUE
from enrolled import enrol_rows
from fleethand_common import messages
from fleethand_common.celery_config import REPORTS_QUEUE, orders_queue
from fleethand_dispatcher import Dispatcher
from fleethand_dispatcher.aggregator import Aggregator
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store
from processes import Program, Programs
from scripted_host import sealed_report
from waiting import wait_until

HOST = "host-1"
BURST = "1,000 of 10,000 schedules due in one second: from that second to the last order"
RATE = 200
SECONDS = 10
IDLE_S = 10
_AHEAD_S = 3


class Arrivals(threading.Thread):
    """Takes messages out of one queue and notes when each came, by the machine's clock, which is the server's too."""

    def __init__(self, url: str, queue: str, count: int) -> None:
        super().__init__(daemon=True)
        self._client = redis.Redis.from_url(url, socket_timeout=120)
        self._queue = queue
        self._count = count
        self.times: list[float] = []
        self.start()

    def run(self) -> None:
        """Take as many as were asked for."""
        while len(self.times) < self._count:
            if self._client.brpop([self._queue], 60) is None:
                return
            self.times.append(time.time())

    def wait(self) -> list[float]:
        """Return the times of all arrivals, in seconds since 1970."""
        self.join(90)
        assert len(self.times) == self._count, f"{len(self.times)} of {self._count} came"
        return self.times


def measure(url: str, folder: Path, keyring: Keyring) -> Iterator[Figure]:
    """Yield the figures of schedules on the empty server at *url*."""
    settings = Settings(redis_url=url, reaper_interval_s=3600, keys_dir=str(keyring.folder))
    dispatcher = Dispatcher(settings=settings, keyring=keyring)
    store = Store.at(url, keyring.vault)
    _say_hello(store, settings, keyring)
    programs = Programs(folder / "beats")
    try:
        burst_s = yield from _ours(dispatcher, store, settings, programs)
        programs.kill_all()
        yield from _others(store.client, url, programs, burst_s)
    finally:
        programs.kill_all()
        dispatcher.close()
        store.close()


def _ours(
    dispatcher: Dispatcher, store: Store, settings: Settings, programs: Programs
) -> Generator[Figure, None, float]:
    url = settings.redis_url
    load_s = median_s(lambda: _load(dispatcher), runs=1, warmup=0)
    yield Figure("accept and record 10,000 schedules, one host each", f"{LOADED / load_s:,.0f}/s")
    beat = _start(programs, "fleethand_dispatcher.celery_app", url, keys_dir=settings.keys_dir)
    wait_until(lambda: store.client.exists("fleethand:beat"), 20, "the beat's lease")
    yield Figure("idle beat with 10,000 schedules", f"{_idle_percent(beat):.2f} % of a core", "below 1 %")
    due = _due_at(dispatcher, store, [DUE])
    late = [at - due for at in Arrivals(url, orders_queue(HOST), DUE).wait()]
    burst_s = max(late)
    yield Figure(BURST, ms(burst_s), "1,000 ms")
    due = _due_at(dispatcher, store, [RATE] * SECONDS)
    came = Arrivals(url, orders_queue(HOST), RATE * SECONDS).wait()
    late = sorted(at - due - index // RATE for index, at in enumerate(came))
    p99 = late[int(len(late) * 0.99)]
    beside = f"median {ms(statistics.median(late))}"
    yield Figure("lateness at 200 firings/s, the 99th of 100", ms(p99), "250 ms", beside)
    return burst_s


def _others(client: "redis.Redis", url: str, programs: Programs, burst_s: float) -> Iterator[Figure]:
    """Yield what the others take from their first message to their last, which is in their favour."""
    kinds = (
        ("celery's PersistentScheduler", "celery.beat:PersistentScheduler"),
        ("celery-redbeat", "redbeat.RedBeatScheduler"),
    )
    for name, scheduler in kinds:
        client.flushall()
        beat = _start(programs, "bench.plain_beats", url, "-S", scheduler)
        at = Arrivals(url, QUEUE, DUE).wait()
        beat.kill()
        took_s = at[-1] - at[0]
        yield Figure(f"the same beside {name}", ms(burst_s), "", f"{name}: {ms(took_s)}", times(took_s / burst_s))


def _say_hello(store: Store, settings: Settings, keyring: Keyring) -> None:
    pair = enrol_rows(store, keyring, [HOST])
    beat = messages.Heartbeat(
        instance_id=HOST, at_ms=1, interval_s=30, name=HOST, os_type="Linux", os_version="bench", worker_version="0",
        time_zone="UTC", boot_id="b",
    )  # fmt: skip
    store.client.lpush(REPORTS_QUEUE, sealed_report(HOST, beat, pair.up))
    Aggregator(store, settings, keyring).step(0)


def _load(dispatcher: Dispatcher) -> None:
    for _ in range(LOADED):
        dispatcher.run_command(command_content="echo hi", instance_ids=[HOST], frequency="rate(7d)")


def _due_at(dispatcher: Dispatcher, store: Store, counts: Sequence[int]) -> float:
    """Make schedules that are due so many in one second and so many in the next; returns the first of the seconds."""
    made_s = sum(counts) / 1000
    first = store.now_ms() // 1000 + _AHEAD_S + int(made_s * 2)
    for offset, count in enumerate(counts):
        text = datetime.fromtimestamp(first + offset, UTC).strftime("at(%Y-%m-%d %H:%M:%S)")
        for _ in range(count):
            dispatcher.run_command(command_content="echo hi", instance_ids=[HOST], frequency=text)
    assert store.now_ms() / 1000 < first, "the schedules were not made in time"
    store.client.zadd("fleethand:seen", {HOST: store.now_ms()})
    return float(first)


def _start(programs: Programs, app: str, url: str, *more: str, keys_dir: str = "") -> Program:
    argv = (sys.executable, "-m", "celery", "-A", app, "beat", *more)
    root = str(Path(__file__).resolve().parents[1])
    environ = {"FLEETHAND_REDIS_URL": url, "FLEETHAND_KEYS_DIR": keys_dir, "BENCH_REDIS_URL": url, "PYTHONPATH": root}
    return programs.start(*argv, name="beat", environ=environ)


def _idle_percent(program: Program) -> float:
    process = psutil.Process(program.pid)
    time.sleep(3)
    before = process.cpu_times()
    time.sleep(IDLE_S)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / IDLE_S * 100
