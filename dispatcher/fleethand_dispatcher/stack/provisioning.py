"""Enrols the local workers of a stack: each gets an identity of its own, as any other host."""

from collections.abc import Mapping, Sequence

from fleethand_common.credentials import PROVISION_FILE, encode_provision
from fleethand_common.errors import FleethandError
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.enrolment import Enrolment
from fleethand_dispatcher.keyring import Keyring, write_secret
from fleethand_dispatcher.stack.data_dir import DataDir
from fleethand_dispatcher.store import Store


@guarded
def provision_workers(data: DataDir, names: Sequence[str], port: int, urls: Mapping[str, str]) -> None:
    """Give an identity to each worker that has none, or whose enrolment the server does not know any more.

    Args:
        urls: by which each connects.

    Raises:
        FleethandError: a state folder cannot be written.
    """
    keyring = Keyring.load(data.keys)
    store = Store.at(data.redis_url(port), keyring.vault)
    try:
        enrolment = Enrolment(keyring, store.hosts)
        for name, host in zip(names, store.hosts.read(names), strict=True):
            folder = data.worker_state(name)
            if host is not None and (folder / "hybrid" / "identity.json").exists():
                continue
            provision = enrolment.provision(name, redis_url=urls[name], at_ms=store.now_ms(), name=name)
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_secret(folder / PROVISION_FILE, encode_provision(provision))
            except OSError as error:
                raise FleethandError(f"cannot give {name} an identity in {folder}: {error.strerror}") from error
    finally:
        store.close()
