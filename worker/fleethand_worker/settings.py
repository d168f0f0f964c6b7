"""The settings of a host's worker; each is declared once, here."""

import os
import sys
from dataclasses import dataclass, replace

from fleethand_common.credentials import Credentials
from fleethand_common.errors import SettingsError
from fleethand_common.ids import is_instance_id
from fleethand_common.settings import setting

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What an operator may change about the worker on one host."""

    instance_id: str = setting("", help="this host's instance id, if it is not to be taken from its identity")
    redis_url: str = setting(
        "", help="the Redis or Valkey server, if it is not to be taken from the host's identity", secret=True
    )
    state_dir: str = setting("", help="folder of identity and journal; as root /var/lib/fleethand[/<instance id>]")
    name: str = setting("", help="name shown for this host; its hostname if not given")
    tags: dict[str, str] = setting({}, help="tags of this host, key=value, separated by commas")
    concurrency: int = setting(10, help="commands that run at the same time")
    queue_limit: int = setting(50, help="commands that wait for a free place; more are refused")
    linger_s: float = setting(60.0, help="seconds that a supervisor which is done waits for another execution; 0: none")
    heartbeat_interval_s: float = setting(30.0, help="seconds between two heartbeats, give or take 10 %")
    reconnect_jitter_s: float = setting(
        5.0, help="a reconnect that did not succeed at once waits up to this long, by chance"
    )
    accept_machine: bool = setting(
        False,  # noqa: FBT003 - a declared default
        help="start on a machine that looks like another one than the one that was enrolled",
    )
    tls_ca_certs: str = setting("", help="file of the certificate authorities that a rediss:// server is checked with")
    tls_certfile: str = setting("", help="file of the certificate that this host shows to a rediss:// server")
    tls_keyfile: str = setting("", help="file of that certificate's key")
    log_level: str = setting("INFO", help=", ".join(LOG_LEVELS))

    def __post_init__(self) -> None:
        """Check what a type alone cannot say."""
        if self.instance_id and not is_instance_id(self.instance_id):
            raise SettingsError(f"cannot use {self.instance_id!r} as instance id: it must be letters, digits, . _ -")
        if self.redis_url and not self.redis_url.startswith(("redis://", "rediss://")):
            raise SettingsError("cannot use this redis_url: it must start with redis:// or rediss://")
        if self.log_level.upper() not in LOG_LEVELS:
            raise SettingsError(f"cannot use {self.log_level!r} as log_level: use one of {', '.join(LOG_LEVELS)}")
        least = {
            "concurrency": 1,
            "queue_limit": 0,
            "heartbeat_interval_s": 0.1,
            "reconnect_jitter_s": 0,
            "linger_s": 0,
        }
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise SettingsError(f"cannot use {getattr(self, name)} for {name}: it must be at least {minimum}")

    def completed(self, credentials: Credentials) -> "WorkerSettings":
        """Return the settings with what only the host's identity says; what an operator set wins.

        Raises:
            SettingsError: they name another instance.
        """
        if self.instance_id not in ("", credentials.instance_id):
            raise SettingsError(
                f"cannot start as {self.instance_id!r}: this state folder belongs to {credentials.instance_id!r}"
            )
        return replace(
            self,
            instance_id=credentials.instance_id,
            redis_url=self.redis_url or credentials.redis_url,
            name=self.name or credentials.name,
            tags={**credentials.tags, **self.tags},
        )

    def state_path(self) -> str:
        """Return the journal's folder.

        Raises:
            SettingsError: none was given and this process is not root.
        """
        if self.state_dir:
            return self.state_dir
        if sys.platform == "win32":
            return os.path.join(os.environ.get("PROGRAMDATA", r"C:\ProgramData"), "fleethand", self.instance_id)  # noqa: PTH118 - a Windows path, also when this is tested elsewhere
        if os.geteuid() == 0:
            return f"/var/lib/fleethand/{self.instance_id}".rstrip("/")
        raise SettingsError("cannot start without --state-dir (FLEETHAND_STATE_DIR) unless as root")
