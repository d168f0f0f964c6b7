"""A settings file that holds one thing: the URL, with its password, by which a part logs in to the server."""

import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from fleethand_common.errors import SettingsError
from fleethand_dispatcher.keyring import write_secret
from fleethand_dispatcher.redis_users import RedisUser

_SETTING = "redis_url"


class LoginFile:
    """One such file, which a part names as its FLEETHAND_CONFIG."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> RedisUser | None:
        """Return the user in the file, None if there is no file yet.

        Raises:
            SettingsError: the file is for something else as well, so it must not be replaced.
        """
        try:
            values = tomllib.loads(self._path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"cannot read {self._path}: {error}") from error
        if set(values) != {_SETTING}:
            found = ", ".join(sorted(values)) or "nothing"
            raise SettingsError(
                f"cannot use {self._path}: it has {found}; name a file that has {_SETTING} alone, or none"
            )
        parts = urlsplit(str(values[_SETTING]))
        return RedisUser(parts.username or "", parts.password or "")

    def write(self, url: str) -> None:
        """Write the URL; only the file's owner can read it.

        Raises:
            SettingsError: it cannot be written.
        """
        try:
            write_secret(self._path, f'{_SETTING} = "{url}"\n'.encode())
        except OSError as error:
            raise SettingsError(f"cannot write {self._path}: {error}") from error
