"""The records of kept commands; each is sealed as the one that it is, so that none can be put in another's place."""

import logging
from typing import TYPE_CHECKING, cast

from fleethand_dispatcher import keys
from fleethand_dispatcher.models import Command
from fleethand_dispatcher.vault import Vault, VaultError

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_KIND = "command"


class CommandRecords:
    """Reads and writes kept commands."""

    def __init__(self, client: "redis.Redis", vault: Vault) -> None:
        self._client = client
        self._vault = vault

    def save(self, command: Command, created_ms: int) -> None:
        """Write a command, new or changed."""
        plain = command.model_dump_json(exclude={"invoke_times"}).encode()
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(keys.command(command.command_id), "body", self._vault.seal_text(_KIND, command.command_id, plain))
        pipe.zadd(keys.COMMANDS, {command.command_id: created_ms}, nx=True)
        pipe.execute()

    def count(self) -> int:
        """Return how many commands are kept."""
        return self._client.zcard(keys.COMMANDS)

    def read(self, command_id: str) -> Command | None:
        """Read one command, or None.

        Raises:
            VaultError: it is not what was kept under this id.
        """
        body, times = cast("list[bytes | None]", self._client.hmget(keys.command(command_id), ["body", "invoke_times"]))
        return self._open(command_id, body, times)

    def newest(self) -> list[Command]:
        """Read all commands, newest first; one that was altered is left out."""
        ids = [raw.decode() for raw in cast("list[bytes]", self._client.zrevrange(keys.COMMANDS, 0, -1))]
        pipe = self._client.pipeline(transaction=False)
        for command_id in ids:
            pipe.hmget(keys.command(command_id), ["body", "invoke_times"])
        commands = []
        for command_id, (body, times) in zip(ids, pipe.execute(), strict=True):
            try:
                command = self._open(command_id, body, times)
            except VaultError as error:
                logger.error("%s", error)
                continue
            commands.extend([command] if command else [])
        return commands

    def invoked(self, command_id: str) -> None:
        """Count one more invocation of a kept command."""
        self._client.hincrby(keys.command(command_id), "invoke_times", 1)

    def delete(self, command_id: str) -> bool:
        """Remove a command; False if there was none."""
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(keys.command(command_id))
        pipe.zrem(keys.COMMANDS, command_id)
        return bool(pipe.execute()[1])

    def _open(self, command_id: str, body: bytes | None, times: bytes | None) -> Command | None:
        if body is None:
            return None
        command = Command.model_validate_json(self._vault.open_text(_KIND, command_id, body))
        return command.model_copy(update={"invoke_times": int(times or 0)})
