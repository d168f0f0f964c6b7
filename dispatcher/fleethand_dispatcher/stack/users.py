"""The Redis users of a stack: its parts and its workers log in as any others do, each as itself."""

from collections.abc import Mapping, Sequence

from fleethand_dispatcher.connection import connect, guarded
from fleethand_dispatcher.redis_roles import Role
from fleethand_dispatcher.redis_users import RedisUsers
from fleethand_dispatcher.stack.data_dir import DataDir


@guarded
def make_users(data: DataDir, workers: Sequence[str], port: int) -> Mapping[str, str]:
    """Give each part a user with a new password, and keep the dispatcher's for the command line.

    Returns:
        The URL that each part connects by; parts are roles and workers' instance ids.
    """
    admin = data.redis_url(port)
    client = connect(admin)
    try:
        users = RedisUsers(client)
        made = {**{str(role): users.create_role(role) for role in Role}, **{w: users.create_host(w) for w in workers}}
        users.save()
    finally:
        client.close()
    data.keep_dispatcher(":".join(made[Role.DISPATCHER]))
    return {part: user.url(admin) for part, user in made.items()}
