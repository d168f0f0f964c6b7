"""The attacker owns the broker: reads, writes, keeps and repeats whatever lies there. Nothing of it is run.

A script proves that it ran by a line in the ledger.
"""

import base64
import json
import os
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from fleethand_common import messages, sealing
from fleethand_common.messages import EXECUTE_TASK, STOP_TASK, Finished, Refusal, Refused, Started
from fleethand_common.states import InstanceStatus
from fleethand_dispatcher.envelope import order_parts
from fleethand_dispatcher.host_records import EnrolledHost
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_worker.janitor import MARGIN_MS
from fleethand_worker.refusals import PER_SECOND
from processes import Program, Programs
from servers import Server
from unit.worker.control_line import ControlLine, make_order, now_ms
from waiting import wait_until

StartWorker = Callable[..., Program]


class Scene:
    """A host that works, what its scripts wrote, and all that its attacker can reach: the broker."""

    def __init__(self, line: ControlLine, worker_process: StartWorker, programs: Programs) -> None:
        self.line = line
        self.start = worker_process
        self.programs = programs
        self.ledger = programs.folder / "ledger"
        self.worker = worker_process()
        self.ledger.touch()
        self.proofs = 0
        line.wait_for_hello()

    def logged(self, what: str) -> str:
        """Return a script that writes a line into the ledger."""
        return f"echo {what} >> {self.ledger}"

    def inject(self, message: str, queue: str = "") -> None:
        """Put a message into a queue of the host, that of orders if none is named."""
        self.line.client.lpush(queue or self.line.orders_queue, message)

    def ran(self) -> list[str]:
        """Return what was run."""
        return self.ledger.read_text().split()

    def works(self) -> None:
        """Prove that the host still takes and runs what is genuine; what came before was treated by then."""
        self.proofs += 1
        name = f"t-works-{self.proofs}"
        self.line.order(name, "echo fine")
        assert self.line.outcome(name).output == "fine\n"
        assert self.worker.is_running


@pytest.fixture
def scene(redis_client: "redis.Redis[str]", keyring: Keyring, worker_process: StartWorker, programs: Programs) -> Scene:
    """A worker on host-1."""
    programs.folder.mkdir(parents=True, exist_ok=True)
    return Scene(ControlLine(redis_client, keyring), worker_process, programs)


def changed(message: str, *, order: dict[str, Any] | None = None, **headers: Any) -> str:
    """Return a message whose letter and headers are changed."""
    whole = json.loads(message)
    whole["headers"].update(headers)
    if order is not None:
        arguments, kwargs, rest = json.loads(base64.b64decode(whole["body"]))
        body = [arguments, {"order": {**kwargs["order"], **order}}, rest]
        whole["body"] = base64.b64encode(json.dumps(body).encode()).decode()
    return json.dumps(whole)


def letter_of(message: str) -> dict[str, Any]:
    """Return the letter that a message carries."""
    letter: dict[str, Any] = json.loads(base64.b64decode(json.loads(message)["body"]))[1]["order"]
    return letter


def test_injected_order_without_a_signature_is_not_run(scene: Scene) -> None:
    """In the form of protocol 1, and in ours with an empty token."""
    order = make_order("t-forged", scene.logged("forged"))
    plain = order_parts(messages.encode(order), invoke_id="t-forged", command_name="", attempt=1)
    scene.inject(plain.whole("host-1", ""))
    scene.inject(plain.whole("host-1", "bm9uZQ=="))
    genuine = scene.line.envelope(make_order("t-genuine", scene.logged("genuine")))
    scene.inject(changed(genuine, fleethand_token=""))

    scene.line.wait_refused(Refusal.UNSIGNED)
    scene.line.wait_refused(Refusal.UNSIGNED, "t-genuine")
    scene.works()
    assert scene.ran() == []
    assert "event=order_refused reason=Unsigned" in scene.worker.output()


def test_order_that_the_attacker_signed_is_not_run(scene: Scene, tmp_path: Path) -> None:
    """With a key of his own; also if he has every key that the records hold, which the signing one is not among."""
    own = Keyring.create(tmp_path / "attacker")
    (host,) = scene.line.store.hosts.read(["host-1"])
    assert host is not None

    class Stolen:
        """The keys shared with the host, in the wrong hands; or keys that were made up."""

        def __init__(self, host: EnrolledHost | None) -> None:
            made_up = sealing.PairKeys(sealing.new_key(), sealing.new_key())
            self.keys = host.pair_keys if host else made_up

        def keys_of(self, _ids: Any) -> dict[str, sealing.PairKeys]:
            """Return them for host-1."""
            return {"host-1": self.keys}

    for known, reason in ((None, Refusal.NOT_SEALED_FOR_ME), (host, Refusal.UNTRUSTED_KEY)):
        order = make_order(f"t-{reason}", scene.logged("forged"))
        written = LetterWriter(own, Stolen(known)).execute(order, ["host-1"])  # type: ignore[arg-type]
        parts = order_parts(written.letter, invoke_id=order.invocation_id, command_name="", attempt=1)
        scene.inject(parts.whole("host-1", written.tokens["host-1"]))
        scene.line.wait_refused(reason, order.invocation_id)

    scene.works()
    assert scene.ran() == []


def test_altered_letter_or_token_is_not_run(scene: Scene) -> None:
    """Anywhere: a hundred places, by chance; the genuine one still runs afterwards, once."""
    message = scene.line.envelope(make_order("t-altered", scene.logged("once")))
    letter, token = letter_of(message), json.loads(message)["headers"]["fleethand_token"]
    chance = random.Random(1)
    for number in range(100):
        data = bytearray(base64.b64decode(letter["sealed"] if number % 2 else token))
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        text = base64.b64encode(data).decode()
        forged = changed(message, order={"sealed": text}) if number % 2 else changed(message, fleethand_token=text)
        scene.inject(forged)

    scene.line.wait_refused(Refusal.ALTERED, "t-altered")
    scene.line.wait_refused(Refusal.NOT_SEALED_FOR_ME, "t-altered")
    scene.works()
    assert scene.ran() == []
    assert scene.line.of(Finished, "t-altered") == []  # a forgery does not end what a genuine order will start

    scene.inject(message)
    scene.line.outcome("t-altered")
    assert scene.ran() == ["once"]


def test_order_of_one_host_is_not_run_by_another(scene: Scene, keyring: Keyring, worker_process: StartWorker) -> None:
    """Put into the other's queue, as it is and with the other's name written over it."""
    other = worker_process("host-2")
    second = ControlLine(scene.line.client, keyring, "host-2")
    second.wait_for_hello()
    message = scene.line.envelope(make_order("t-redirected", scene.logged("redirected")))

    scene.inject(message, second.orders_queue)
    second.wait_refused(Refusal.OTHER_INSTANCE, "t-redirected")
    scene.inject(message.replace("host-1", "host-2"), second.orders_queue)
    second.wait_refused(Refusal.NOT_SEALED_FOR_ME, "t-redirected")

    second.order("t-second", "echo fine")
    assert second.outcome("t-second").output == "fine\n"
    assert scene.ran() == []
    assert other.is_running


def test_token_of_one_order_opens_no_other(scene: Scene) -> None:
    """Letters and tokens of two genuine orders, exchanged."""
    first = scene.line.envelope(make_order("t-first", scene.logged("first")))
    second = scene.line.envelope(make_order("t-second", scene.logged("second")))
    token = json.loads(second)["headers"]["fleethand_token"]

    scene.inject(changed(first, fleethand_token=token))

    scene.line.wait_refused(Refusal.ALTERED, "t-first")
    scene.inject(changed(first, order={"invocation_id": "t-second"}))
    scene.line.wait_refused(Refusal.ALTERED, "t-second")
    scene.works()
    assert scene.ran() == []


def test_order_with_another_task_or_queue_is_not_run(scene: Scene) -> None:
    """An order as a stop, a stop as an order, an order in the queue of control."""
    order = scene.line.envelope(make_order("t-order", scene.logged("order")))
    stop = scene.line.stop_envelope("t-stop")

    scene.inject(changed(order, task=STOP_TASK), scene.line.control_queue)
    scene.inject(changed(stop, task=EXECUTE_TASK))

    scene.works()
    wait_until(lambda: len(scene.line.of(Refused, "t-order") + scene.line.of(Refused, "t-stop")) >= 2, 10, "both")
    assert scene.ran() == []


def test_forged_stop_ends_nothing(scene: Scene, tmp_path: Path) -> None:
    """Not signed, signed by another, of another invocation: what runs goes on."""
    scene.line.order("t-runs", f"sleep 1; {scene.logged('done')}")
    scene.line.wait_for(Started, "t-runs")
    genuine = scene.line.stop_envelope("t-other")
    plain = json.dumps({"version": 2, "invocation_id": "t-runs", "deliver_before_ms": now_ms() + 60_000})
    forged = changed(genuine, order={"invocation_id": "t-runs", "plain": base64.b64encode(plain.encode()).decode()})
    own = Keyring.create(tmp_path / "attacker")
    stranger = ControlLine(scene.line.client, scene.line.keyring)
    stranger.writer = LetterWriter(own, stranger.writer.peers)

    scene.inject(forged, scene.line.control_queue)
    scene.inject(changed(genuine, order={"invocation_id": "t-runs"}), scene.line.control_queue)
    stranger.stop("t-runs")

    scene.line.wait_refused(Refusal.ALTERED, "t-runs")
    scene.line.wait_refused(Refusal.UNTRUSTED_KEY, "t-runs")
    assert scene.line.outcome("t-runs").status is InstanceStatus.SUCCESS
    assert scene.ran() == ["done"]


def test_stop_and_order_that_change_places_start_nothing(scene: Scene) -> None:
    """The attacker keeps an order back until its stop was there; also over a restart."""
    kept = [scene.line.envelope(make_order(f"t-kept-{number}", scene.logged("kept"))) for number in range(2)]
    for number in range(2):
        scene.line.stop(f"t-kept-{number}")
        assert scene.line.outcome(f"t-kept-{number}").status is InstanceStatus.CANCELLED

    scene.inject(kept[0])
    scene.works()
    assert scene.worker.stop() == 0
    scene.worker = scene.start()
    scene.inject(kept[1])

    scene.works()
    assert scene.ran() == []


def replay_needs_no_journal(scene: Scene, order_id: str) -> None:
    """Make the host forget an execution as it does after a while: signed times have passed its deadline for long."""
    entry = scene.programs.folder / "state" / "host-1" / "executions" / order_id
    wait_until((entry / "reported").exists, 10, "the outcome sent")
    os.utime(entry / "reported", (1, 1))
    scene.line.order("t-later", "echo later", created_at_ms=now_ms() + 2 * MARGIN_MS, deliver_before_ms=now_ms() * 2)
    scene.line.outcome("t-later")
    wait_until(lambda: not entry.exists(), 10, "the journal cleaned")


def test_replayed_order_is_not_run_again(scene: Scene) -> None:
    """By the same worker, by the next one, and when the journal has forgotten it."""
    message = scene.line.envelope(make_order("t-replay", scene.logged("once")))
    scene.inject(message)
    scene.line.outcome("t-replay")
    for _ in range(3):
        scene.inject(message)
    scene.works()
    scene.worker.kill()
    scene.worker = scene.start(heartbeat_interval_s=0.2)
    scene.inject(message)
    scene.works()

    replay_needs_no_journal(scene, "t-replay")
    scene.inject(message)

    scene.line.wait_refused(Refusal.EXPIRED, "t-replay")
    assert scene.ran() == ["once"]


class LyingClock:
    """A proxy in front of the server that can tell another time than it is."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.behind_s = 0
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                for source, sink, is_answer in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pump, args=(source, sink, is_answer), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(self._altered(data) if is_answer else data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)  # or the server would hand messages to a worker that is dead

    def _altered(self, data: bytes) -> bytes:
        return re.sub(
            rb"\*2\r\n\$10\r\n(\d{10})\r\n",
            lambda found: found[0].replace(found[1], str(int(found[1]) - self.behind_s).encode()),
            data,
        )

    def close(self) -> None:
        """Close everything."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def lying_clock(server: Server) -> Iterator[LyingClock]:
    """A server that tells the right time until it is told to lie."""
    proxy = LyingClock(server.port)
    try:
        yield proxy
    finally:
        proxy.close()


def test_replayed_order_is_not_run_again_when_the_server_sets_the_time_back(
    redis_client: "redis.Redis[str]",
    keyring: Keyring,
    worker_process: StartWorker,
    programs: Programs,
    lying_clock: LyingClock,
) -> None:
    """The order is young again by the server's time, and forgotten by the journal: what was signed since is older."""
    programs.folder.mkdir(parents=True, exist_ok=True)

    def start(**settings: Any) -> Program:
        url = f"redis://127.0.0.1:{lying_clock.port}/0"
        return worker_process(redis_url=url, heartbeat_interval_s=0.2, reconnect_jitter_s=0.2, **settings)

    scene = Scene(ControlLine(redis_client, keyring), start, programs)
    message = scene.line.envelope(make_order("t-replay", scene.logged("once")))
    scene.inject(message)
    scene.line.outcome("t-replay")
    replay_needs_no_journal(scene, "t-replay")

    lying_clock.behind_s = 3600
    for restart in (False, True):
        before = now_ms()
        if restart:
            scene.worker.kill()
            scene.line.read()
            scene.line.reports.clear()
            scene.worker = start()
            scene.line.wait_for_hello()
        scene.inject(message)
        refused = scene.line.wait_refused(Refusal.EXPIRED, "t-replay")
        assert refused.at_ms > before + MARGIN_MS  # the host's time did not follow the lie

    assert scene.ran() == ["once"]


def test_flood_of_garbage_costs_little_and_the_next_order_runs(scene: Scene) -> None:
    """20,000 messages of several kinds: few lines, few reports, all counted, and nothing of the content anywhere."""
    genuine = scene.line.envelope(make_order("t-genuine", scene.logged("genuine")))
    kinds = [
        "S3CRET not JSON",
        json.dumps({"body": "S3CRET"}),
        changed(genuine, fleethand_token="S3CRET"),
        changed(genuine, order={"sealed": base64.b64encode(b"S3CRET" * 100).decode()}),
        changed(genuine, task="S3CRET.task"),
    ]
    count = 4_000
    process = psutil.Process(scene.worker.pid)
    before_s = sum(process.cpu_times()[:2])
    for _ in range(count // 100):
        scene.line.client.lpush(scene.line.orders_queue, *(kinds * 100))

    scene.line.order("t-after", "echo fine")

    assert scene.line.outcome("t-after", 60).output == "fine\n"
    cost_us = (sum(process.cpu_times()[:2]) - before_s) / (count * len(kinds)) * 1e6
    assert cost_us < 2_000
    assert "S3CRET" not in scene.worker.output()
    assert len(scene.worker.output().splitlines()) < 60 * PER_SECOND
    refused = [report for report in scene.line.read() if isinstance(report, Refused)]
    assert 0 < len(refused) <= 60 * PER_SECOND
    scene.works()
    assert scene.ran() == []
