"""The records of kept commands."""

from typing import TYPE_CHECKING, cast

from fleethand_dispatcher import keys
from fleethand_dispatcher.models import Command

if TYPE_CHECKING:
    import redis


class CommandRecords:
    """Reads and writes kept commands."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def save(self, command: Command, created_ms: int) -> None:
        """Write a command, new or changed."""
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(keys.command(command.command_id), "body", command.model_dump_json(exclude={"invoke_times"}))
        pipe.zadd(keys.COMMANDS, {command.command_id: created_ms}, nx=True)
        pipe.execute()

    def count(self) -> int:
        """Return how many commands are kept."""
        return self._client.zcard(keys.COMMANDS)

    def read(self, command_id: str) -> Command | None:
        """Read one command, or None."""
        body, times = cast("list[bytes | None]", self._client.hmget(keys.command(command_id), ["body", "invoke_times"]))
        return _decode(body, times)

    def newest(self) -> list[Command]:
        """Read all commands, newest first."""
        ids = cast("list[bytes]", self._client.zrevrange(keys.COMMANDS, 0, -1))
        pipe = self._client.pipeline(transaction=False)
        for raw in ids:
            pipe.hmget(keys.command(raw.decode()), ["body", "invoke_times"])
        found = (_decode(body, times) for body, times in pipe.execute())
        return [command for command in found if command is not None]

    def invoked(self, command_id: str) -> None:
        """Count one more invocation of a kept command."""
        self._client.hincrby(keys.command(command_id), "invoke_times", 1)

    def delete(self, command_id: str) -> bool:
        """Remove a command; False if there was none."""
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(keys.command(command_id))
        pipe.zrem(keys.COMMANDS, command_id)
        return bool(pipe.execute()[1])


def _decode(body: bytes | None, times: bytes | None) -> Command | None:
    if body is None:
        return None
    command = Command.model_validate_json(body)
    return command.model_copy(update={"invoke_times": int(times or 0)})
