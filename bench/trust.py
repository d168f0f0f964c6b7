"""What trust costs a host: opening and checking an order, and the memory for it."""

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import enrolled
from bench.figure import Figure, median_s
from fleethand_common import messages
from fleethand_common.clock import Clock, wall_ms
from fleethand_common.commands import CommandType
from fleethand_common.signing import Kind
from fleethand_dispatcher.envelope import order_parts
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.letter_writer import LetterWriter
from fleethand_dispatcher.peers import Peers
from fleethand_dispatcher.store import Store
from fleethand_worker.credentials import CredentialFiles
from fleethand_worker.trust import Trust

HOST = "host-00000"
SCRIPT = "echo hi # " + "x" * 2000
"""Two kilobytes, as a script of fifty lines has."""


def measure(url: str, keyring: Keyring) -> Iterator[Figure]:
    """Yield the figures; the enrolment is written to the server at *url*."""
    with tempfile.TemporaryDirectory() as folder:
        trust, body, headers = _host(url, keyring, Path(folder))
        open_s = median_s(lambda: [trust.open(Kind.EXECUTE, body, headers) for _ in range(100)], runs=30) / 100
    yield Figure("open and check one order on a host", f"{open_s * 1e6:.0f} us", "below 1 ms")
    without, with_ = _pss_kb(""), _pss_kb("from nacl import bindings")
    grown = (with_ - without) / 1000
    yield Figure("memory of a host's process for it", f"{grown:.1f} MB", "4 MB", "proportional, one process alone")


def _host(url: str, keyring: Keyring, folder: Path) -> tuple[Trust, str, dict[str, object]]:
    """Return what a host has, and an order as it arrives there, in a group of 16."""
    store = Store.at(url, keyring.vault)
    others = [f"host-{number:05}" for number in range(1, 16)]
    enrolled.enrol_rows(store, keyring, others)
    provision = enrolled.provision(url, keyring, HOST)
    files = CredentialFiles(folder)
    files.install(provision)
    order = messages.ExecutionOrder(
        invocation_id="t-bench",
        command_id="c-1",
        command_type=CommandType.SHELL,
        content=SCRIPT,
        timeout_s=60,
        stop_grace_s=5,
        output_limit_bytes=24 * 1024,
        created_at_ms=wall_ms(),
        deliver_before_ms=wall_ms() + 60_000,
    )
    written = LetterWriter(keyring, Peers(store.hosts)).execute(order, [HOST, *others])
    parts = order_parts(written.letter, invoke_id="t-bench", command_name="", attempt=1)
    message = json.loads(parts.whole(HOST, written.tokens[HOST]))
    store.close()
    trust = Trust(provision.credentials, files, Clock())
    return trust, base64.b64decode(message["body"]).decode(), message["headers"]


def _pss_kb(code: str) -> int:
    """Return the proportional memory of a process that has imported what every host has, and then run *code*."""
    read = "print(next(line.split()[1] for line in open('/proc/self/smaps_rollup') if line.startswith('Pss:')))"
    program = f"import celery, kombu.transport.redis, redis, msgspec, hashlib, base64\n{code}\n{read}"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(run.stdout)
