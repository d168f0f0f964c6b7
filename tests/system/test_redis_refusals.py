"""What the Redis users of hosts and parts are refused: every command, key and channel that is not theirs."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from fleethand_dispatcher import keys
from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.redis_rules import host_rules, role_rules
from fleethand_dispatcher.redis_users import RedisUsers
from guarded import allowed_words, client_of, every_command, is_refused, refusal_of
from servers import Server, running_server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that has every command switched on, so that nothing but its users' rights stands before them."""
    switches = ("--enable-debug-command", "yes", "--enable-module-command", "yes")
    with running_server(tmp_path / "valkey", arguments=switches) as server:
        yield server


@pytest.fixture
def users(own_server: Server) -> Iterator[RedisUsers]:
    """The users of a server that has none yet."""
    with redis.Redis.from_url(own_server.url) as admin:
        yield RedisUsers(admin)


@pytest.mark.parametrize("part", ["host", *Role])
def test_user_is_refused_every_command_that_it_does_not_need(users: RedisUsers, own_server: Server, part: str) -> None:
    """Each command and subcommand of the server, by its name, apart from those by which a client logs in or leaves."""
    if part == "host":
        user, rules = users.create_host("web-1"), host_rules("web-1")
    else:
        user, rules = users.create_role(Role(part)), role_rules(Role(part))
    with redis.Redis.from_url(own_server.url, protocol=2) as admin:
        commands = every_command(admin)
    allowed = allowed_words(rules)
    forbidden = {name: words for name, words in commands.items() if name not in allowed}
    assert allowed <= set(commands)
    assert len(forbidden) > 200

    with client_of(user, own_server.url) as client:
        let_through = [name for name, words in forbidden.items() if not is_refused(client, name, words)]

    assert let_through == []


def test_only_the_servers_own_user_with_all_rights_counts_as_unbounded(users: RedisUsers, own_server: Server) -> None:
    """A part's user is not even asked about, so nothing is refused; a `default` that was bounded does not count."""
    assert users.is_unbounded()
    with client_of(users.create_role(Role.DISPATCHER), own_server.url) as client:
        assert not RedisUsers(client).is_unbounded()
    with redis.Redis.from_url(own_server.url) as admin:
        assert admin.acl_log() == []
        admin.execute_command("ACL", "SETUSER", "default", "-@all", "+acl|getuser", "+acl|setuser")
        assert not users.is_unbounded()
        admin.execute_command("ACL", "SETUSER", "default", "-acl|getuser")
    assert not users.is_unbounded()


NEVER = {"keys", "scan", "flushall", "flushdb", "eval", "monitor", "debug", "subscribe", "config|set", "config|get"} | {
    *("client|list", "client|unblock", "function|load", "acl|list", "acl|getuser", "shutdown", "replicaof", "swapdb"),
    *("rename", "migrate", "restore", "dump", "sort", "module|load", "config|rewrite", "bgrewriteaof", "sync", "psync"),
}


@pytest.mark.parametrize("part", ["host", *Role])
def test_no_user_may_do_what_would_give_it_the_server(part: str) -> None:
    """Whatever is added to the table, these stay out of it; ACL is the registrar's alone."""
    allowed = allowed_words(host_rules("web-1") if part == "host" else role_rules(Role(part)))

    assert allowed & NEVER == set()
    assert any(name.startswith("acl|") for name in allowed) == (part == Role.REGISTRAR)
    assert not {"@all", "acl", "client", "config", "script", "function"} & allowed


FOREIGN = {
    "host": [
        "LPUSH fleethand:host:web-2:orders x",
        "LPUSH fleethand:host:web-10:control x",
        "RPUSH fleethand:host:web-1.x:control x",
        "BRPOP fleethand:host:web-2:orders 1",
        "BRPOP fleethand:host:web-1:orders fleethand:host:web-2:orders 1",
        "BRPOP fleethand:reports 1",
        "RPUSH fleethand:reports x",
        "LREM fleethand:reports 0 x",
        "LPUSH fleethand:reports:dead x",
        "LPUSH fleethand:instances x",
        "PUBLISH /0.celeryev/web-2/task.multi x",
        "PUBLISH /0.celeryev/web-1.x/task.multi x",
        "PUBLISH /0.celeryev/task.multi x",
    ],
    Role.DASHBOARD: [
        "LLEN fleethand:reports",
        "PSUBSCRIBE *",
        "PSUBSCRIBE __keyspace@0__:*",
    ],
    Role.AGGREGATOR: [
        "HMGET fleethand:command:c-1 body",
        "HSET fleethand:command:c-1 body x",
        "ZADD fleethand:commands 1 x",
        "HSET fleethand:hosts web-1 x",
        "LPUSH fleethand:directives x",
        "HGETALL fleethand:activations",
        "HGETALL fleethand:principals",
        "RPOP fleethand:host:web-1:orders 1",
        "LRANGE fleethand:host:web-1:orders 0 -1",
        "LRANGE fleethand:reports:dead 0 -1",
        "DEL fleethand:inv:t-1",
        "LPUSH _kombu.binding.x y",
    ],
    Role.BEAT: [
        "HSET fleethand:hosts web-1 x",
        "HGET fleethand:command:c-1 body",
        "HGET fleethand:activations x",
        "LRANGE fleethand:reports 0 -1",
        "LRANGE fleethand:host:web-1:orders 0 -1",
        "HSET fleethand:principals x y",
        "HSET fleethand:instances web-1 x",
        "HSET fleethand:aggregators x 1",
    ],
    Role.REGISTRAR: [
        "LPUSH fleethand:host:web-1:orders x",
        "LPUSH fleethand:reports x",
        "HGET fleethand:principals x",
        "HSET fleethand:command:c-1 body x",
        "HSET fleethand:directives x y",
    ],
    Role.DISPATCHER: [
        "GET another:application",
        "SET _kombu.binding.x y",
        "DEL unacked",
    ],
}


@pytest.mark.parametrize("part", FOREIGN)
def test_user_is_refused_keys_and_channels_that_are_not_its_own(
    users: RedisUsers, own_server: Server, part: str
) -> None:
    """With the very commands that it may use elsewhere."""
    user = users.create_host("web-1") if part == "host" else users.create_role(Role(part))

    with client_of(user, own_server.url) as client:
        answers = {text: refusal_of(client, *text.split()) for text in FOREIGN[part]}

    assert {text for text, answer in answers.items() if not answer.startswith("NOPERM")} == set()


def test_script_is_held_to_the_rights_of_who_runs_it(users: RedisUsers, own_server: Server) -> None:
    """An aggregator that was taken over can load any script; what it calls is refused all the same."""
    script = "return redis.call('HSET', 'fleethand:hosts', 'web-1', 'mine')"
    with client_of(users.create_role(Role.AGGREGATOR), own_server.url) as client:
        sha = client.script_load(script)
        assert "NOPERM" in refusal_of(client, "EVALSHA", str(sha), "0") or "ACL" in refusal_of(
            client, "EVALSHA", str(sha), "0"
        )
    with redis.Redis.from_url(own_server.url) as admin:
        assert not admin.exists(keys.HOSTS)


def test_new_password_ends_the_connections_of_the_old_one(users: RedisUsers, own_server: Server) -> None:
    """So does deleting the user."""
    old = users.create_host("web-1")
    with client_of(old, own_server.url) as before:
        assert before.ping()
        new = users.create_host("web-1")
        with pytest.raises(redis.ConnectionError):
            before.ping()
    with client_of(new, own_server.url) as after:
        assert after.ping()
        assert users.delete_host(new.user)
        with pytest.raises(redis.ConnectionError):
            after.ping()
    assert users.all() == []
    assert not users.delete_host(new.user)


def test_server_keeps_digests_only(users: RedisUsers, own_server: Server) -> None:
    """Who reads the server's users or its file of them can log in as none of them."""
    made = [users.create_host("web-1"), *(users.create_role(role) for role in Role)]

    with redis.Redis.from_url(own_server.url) as admin:
        known = " ".join(str(line) for line in admin.acl_list())

    assert not [user for user in made if user.password in known]
    assert {user.user for user in made} == set(users.all())


def test_host_may_be_called_like_a_part_of_the_control_plane(users: RedisUsers) -> None:
    """Names of hosts and roles never meet, nor that of the server's own user."""
    for name in ("dispatcher", "fleethand-dispatcher", "default"):
        users.create_host(name)

    assert users.all() == ["host-default", "host-dispatcher", "host-fleethand-dispatcher"]


def test_server_without_a_file_for_users_is_told_of(users: RedisUsers, caplog: pytest.LogCaptureFixture) -> None:
    """They live until it restarts."""
    with caplog.at_level(logging.WARNING, logger="fleethand_dispatcher.redis_users"):  # whatever ran here before
        assert not users.save()
    assert "aclfile" in caplog.text
