"""Keys of a control plane, and identities of hosts, for tests: made as an operator makes them."""

from collections.abc import Iterable
from pathlib import Path

from fleethand_common import sealing
from fleethand_common.credentials import PROVISION_FILE, Provision, encode_provision
from fleethand_common.sealing import PairKeys
from fleethand_dispatcher.enrolment import Enrolment
from fleethand_dispatcher.host_records import EnrolledHost
from fleethand_dispatcher.keyring import Keyring, write_secret
from fleethand_dispatcher.store import Store


def keyring_in(folder: Path) -> Keyring:
    """Return the keys of *folder*, made at the first call."""
    return Keyring.load(folder) if (folder / "vault.key").exists() else Keyring.create(folder)


def provision(url: str, keyring: Keyring, instance_id: str) -> Provision:
    """Enrol a host on a server and return what it needs to start."""
    store = Store.at(url, keyring.vault)
    try:
        return Enrolment(keyring, store.hosts).provision(instance_id, redis_url=url, at_ms=store.now_ms())
    finally:
        store.close()


def enrol_worker(url: str, keyring: Keyring, instance_id: str, state_dir: Path) -> None:
    """See to it that a worker with this state folder is enrolled on a server; a second call changes nothing."""
    store = Store.at(url, keyring.vault)
    try:
        (known,) = store.hosts.read([instance_id])
    finally:
        store.close()
    if known is None or not (state_dir / "hybrid" / "identity.json").exists():
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(state_dir / PROVISION_FILE, encode_provision(provision(url, keyring, instance_id)))


def enrol_rows(store: Store, keyring: Keyring, instance_ids: Iterable[str]) -> PairKeys:
    """Enrol many hosts that nobody plays, in one step; all of them have the same keys, which are returned."""
    own = sealing.new_box_keys()
    pair = sealing.pair_keys(keyring.box.secret, own.public)
    values = {"box_public": own.public, "down": pair.down, "up": pair.up, "enrolled_at_ms": 1}
    store.hosts.save([EnrolledHost(instance_id=instance_id, **values) for instance_id in instance_ids])
    return pair
