"""How failures of the server reach a caller, and what is not shown of its URL."""

from collections.abc import Iterator

import pytest
import redis
from redis._parsers.base import BaseParser

from fleethand_common.errors import ServerUnavailableError, SettingsError
from fleethand_dispatcher.connection import connect, guarded, guarded_iterator, is_servers_fault, masked

FAILURES = [
    (redis.ConnectionError("refused"), "cannot reach Redis: refused"),
    (redis.TimeoutError("slow"), "FLEETHAND_REDIS_URL"),
    (redis.BusyLoadingError("loading"), "cannot reach Redis: loading"),
    (redis.AuthenticationError("WRONGPASS"), "FLEETHAND_REDIS_URL"),
    (redis.OutOfMemoryError("OOM"), "it refuses: OOM"),
    (redis.ReadOnlyError("READONLY"), "it refuses: READONLY"),
    (redis.ResponseError("MISCONF"), "memory, disk and access rules"),
    (redis.exceptions.NoPermissionError("NOPERM"), "access rules"),
]


@pytest.mark.parametrize(("failure", "named"), FAILURES, ids=lambda value: str(value)[:30])
def test_failure_of_the_server_is_one_error_with_a_way_out(failure: redis.RedisError, named: str) -> None:
    """From a verb that returns and from one that yields, also after its first answer."""

    @guarded
    def verb() -> None:
        raise failure

    @guarded_iterator
    def answers() -> Iterator[int]:
        yield 1
        raise failure

    with pytest.raises(ServerUnavailableError, match=named):
        verb()
    found = answers()
    assert next(found) == 1
    with pytest.raises(ServerUnavailableError, match=named):
        next(found)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'. script: on @user_script:7.", True),
        ("MISCONF Errors writing to the AOF file: No space left on device", True),
        ("READONLY You can't write against a read only replica.", True),
        ("BUSY Server is busy running a script.", True),
        ("LOADING Server is loading the dataset in memory", True),
        ("NOPERM User has no permissions to run the 'hset' command", True),
        ("NOPERM ACL failure in script: User fleethand-aggregator has no permissions to run the 'xadd' command", True),
        ("ERR ACL failure in script: User fleethand-aggregator has no permissions to run the 'xadd' command", True),
        ("EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.", True),
        ("EXECABORT Transaction discarded because of previous errors.", False),
        ("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", True),
        ("NOSCRIPT No matching script.", True),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
        ("ERR user_script:7: Script attempted to access nonexistent global variable 'OOM'", False),
    ],
)
@pytest.mark.parametrize("is_in_a_pipeline", [False, True])
def test_fault_of_the_server_is_known_from_a_fault_of_the_request(
    answer: str, expected: bool, is_in_a_pipeline: bool
) -> None:
    """As redis-py reads what a server answers, alone and among others: what can be served later is not given up."""
    error = BaseParser.parse_error(answer)
    if is_in_a_pipeline:
        pipeline = redis.Redis().pipeline()
        pipeline.annotate_exception(error, 1, ("EVALSHA", "0123", "OOM of pipeline"))

    assert is_servers_fault(error) is expected


def test_guard_lets_everything_else_through() -> None:
    """A mistake of ours is not blamed on the server."""

    @guarded
    def verb(value: int) -> int:
        return 1 // value

    assert verb(1) == 1
    with pytest.raises(ZeroDivisionError):
        verb(0)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://:pw@h:1/0", "redis://:******@h:1/0"),
        ("rediss://me:pw@h/0", "rediss://me:******@h/0"),
    ],
)
def test_masked_hides_the_password_and_nothing_else(url: str, expected: str) -> None:
    """For logs and messages."""
    assert expected == masked(url)


def test_connect_refuses_what_is_no_url_without_its_password() -> None:
    """It connects only when it is used, so that a wrong form is found at once and a dead server later."""
    with pytest.raises(SettingsError, match="cannot use") as caught:
        connect("http://:pw@h/0")

    assert ":pw@" not in str(caught.value)
    connect("redis://127.0.0.1:1/0").close()


def test_command_is_sent_once() -> None:
    """redis-py would repeat what may have been done already."""
    client = connect("redis://127.0.0.1:1/0")

    assert client.connection_pool.connection_kwargs["retry"].get_retries() == 0
    client.close()
