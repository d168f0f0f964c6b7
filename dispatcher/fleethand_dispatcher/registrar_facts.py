"""Where the registration service is and how a host recognises it: written by the service when it starts, sealed."""

from typing import TYPE_CHECKING, cast

import msgspec

from fleethand_dispatcher import keys
from fleethand_dispatcher.vault import VaultError

if TYPE_CHECKING:
    from fleethand_dispatcher.store import Store

_KIND = "registrar"


class RegistrarFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a host must be told."""

    url: str = ""
    pin: str = ""


def write(store: "Store", facts: RegistrarFacts) -> None:
    """Tell the control plane."""
    sealed = store.vault.seal(_KIND, "", msgspec.msgpack.encode(facts))
    store.client.set(keys.REGISTRAR, cast("str", sealed))


def read(store: "Store") -> RegistrarFacts:
    """Return what the service said when it last started; nothing if it never did, or somebody else wrote it."""
    sealed = cast("bytes | None", store.client.get(keys.REGISTRAR))
    try:
        plain = store.vault.open(_KIND, "", sealed) if sealed else None
    except VaultError:
        return RegistrarFacts()
    return msgspec.msgpack.decode(plain, type=RegistrarFacts) if plain else RegistrarFacts()
