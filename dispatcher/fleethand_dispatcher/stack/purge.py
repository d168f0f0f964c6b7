"""Deletes what a stack left in its data folder, and nothing else that lies there."""

import contextlib
import shutil

from fleethand_common.errors import FleethandError
from fleethand_dispatcher.stack.data_dir import DataDir


def purge(data: DataDir) -> None:
    """Delete the data of a stack that does not run; a folder that holds other files too is kept with them.

    Raises:
        FleethandError: it runs.
    """
    if data.read_state() is not None:
        raise FleethandError(f"cannot delete {data.path}: a stack runs there; stop it with `fleethand down` first")
    for folder in (data.valkey, data.logs, data.workers, data.keys):
        if folder.exists():
            shutil.rmtree(folder)
    for file in ("up.lock", "keeper.lock"):
        (data.path / file).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        data.path.rmdir()
