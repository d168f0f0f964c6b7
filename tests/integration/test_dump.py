"""Whoever can read all of the server, or the files that it writes, finds ids, statuses and times, and no secret."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from beat import next_time, row, run_through
from servers import Server

SECRETS = (
    "a-line-of-the-script",
    "a-secret-value",
    "a_parameters_name",
    "a-default-value",
    "a-line-of-live-output",
    "a-line-of-the-kept-output",
    "a-kept-commands-description",
    "a-working-directory",
    "a-user-name",
)


@pytest.fixture
def redis_url(own_server: Server) -> str:
    """The control plane and its hosts are on a server whose files a test can read."""
    return own_server.url


@pytest.fixture
def redis_client(own_server: Server) -> Iterator["redis.Redis[str]"]:
    """What hosts speak to it with."""
    with own_server.client() as client:
        yield client


@pytest.fixture
def reader(own_server: Server) -> Iterator["redis.Redis[bytes]"]:
    """Whoever can read all of it."""
    with redis.Redis.from_url(own_server.url) as client:
        yield client


def forms(secret: str) -> list[bytes]:
    """Return a text as it is, and as it looks inside of anything that was encoded in Base64."""
    plain = secret.encode()
    found = [plain]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain)
        found.append(encoded[4 if before else 0 : len(encoded) // 4 * 4 - 4])
    return found


def dump(client: "redis.Redis[bytes]") -> Iterator[bytes]:
    """Yield every key and every value of a server."""
    reads: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": client.xrange,
    }
    for key in client.scan_iter():
        yield key
        yield from leaves(reads[client.type(key)](key))


def leaves(value: Any) -> Iterator[bytes]:
    """Yield every text in an answer."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from leaves(pair)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from leaves(item)


def test_a_secret_in_base64_is_found_wherever_it_stands() -> None:
    """The test below could not fail otherwise."""
    for before in range(7):
        for after in range(3):
            held = base64.b64encode(b"." * before + SECRETS[0].encode() + b"." * after)
            assert any(form in held for form in forms(SECRETS[0])), held


def test_dump_of_the_server_holds_no_secret(plane, host, reader, own_server: Server) -> None:
    """While a command runs and after it, in memory and in the append-only file, plain or in Base64."""
    one = host(hello=True)
    command = plane.dispatcher.create_command(
        name="kept",
        description="a-kept-commands-description",
        command_content="echo a-line-of-the-script {{a_parameters_name}}",
        enable_parameter=True,
        working_dir="/a-working-directory",
        parameter_definitions=[
            {"parameter_name": "a_parameters_name", "secret": True, "default_value": "a-default-value"}
        ],
        client_token="once",
    )
    invocation = plane.dispatcher.invoke_command(
        command.command_id,
        instance_ids=["host-1"],
        parameters={"a_parameters_name": "a-secret-value"},
        username="a-user-name",
        client_token="once",
    )
    one.start(invocation.invoke_id)
    one.say(invocation.invoke_id, "a-line-of-live-output", 0)
    plane.settle()
    running = b"\n".join(dump(reader))
    assert "a-secret-value" == one.orders()[0].parameters["a_parameters_name"]
    one.finish(invocation.invoke_id, output="a-line-of-live-output and a-line-of-the-kept-output")
    one.send(b"a-line-of-live-output that nobody can read")
    plane.settle()
    over = b"\n".join(dump(reader))
    assert "a-line-of-the-kept-output" in next(iter(invocation.results())).output

    files = b"".join(path.read_bytes() for path in own_server.folder.rglob("*") if path.is_file())
    assert invocation.invoke_id.encode() in running
    assert invocation.invoke_id.encode() in over
    assert invocation.invoke_id.encode() in files
    found = {
        (secret, place)
        for secret in SECRETS
        for place, held in (("while it ran", running), ("when it was over", over), ("on the disk", files))
        if any(form in held for form in forms(secret))
    }
    assert set() == found


def test_dump_of_the_server_holds_no_secret_of_a_schedule(plane, host, reader, beat) -> None:
    """Neither its definition, nor its runs, nor what it says of its last one: only when it is due, and how it went."""
    one = host(hello=True)
    invocation = plane.dispatcher.run_command(
        command_content="echo a-line-of-the-script {{a_parameters_name}}",
        enable_parameter=True,
        parameters={"a_parameters_name": "a-secret-value"},
        working_dir="/a-working-directory",
        username="a-user-name",
        instance_ids=["host-1"],
        frequency="rate(61m)",
    )
    waiting = b"\n".join(dump(reader))
    beat.at(next_time(plane, invocation))
    run_through(plane, one, output="a-line-of-the-kept-output")
    over = b"\n".join(dump(reader))
    assert row(invocation).output == "a-line-of-the-kept-output"

    assert invocation.invoke_id.encode() in waiting
    assert set() == {
        secret
        for secret in (*SECRETS, "rate(61m)")
        for held in (waiting, over)
        if any(form in held for form in forms(secret))
    }
