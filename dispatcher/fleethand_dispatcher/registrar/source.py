"""Where a request came from: the address that is checked, limited and written down."""

import ipaddress
from collections.abc import Sequence

from fleethand_common.errors import SettingsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_SUBSCRIBER_BITS = 64
"""Of an IPv6 address: whoever has one has all that begin with the same."""


class Sources:
    """Finds the address of whoever asks; a proxy is believed only if an operator named its network."""

    def __init__(self, proxies: Sequence[str]) -> None:
        try:
            self._proxies = [ipaddress.ip_network(text, strict=False) for text in proxies]
        except ValueError as error:
            raise SettingsError(f"cannot use registrar_proxies: {error}") from error

    def of(self, peer: str, forwarded: str) -> Address:
        """Return the address of a request.

        Args:
            peer: the other end of the connection.
            forwarded: the `X-Forwarded-For` header; read from its end, as its beginning is the asker's own word.
        """
        address = _address(peer)
        for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
            if not self._is_proxy(address):
                break
            try:
                address = _address(hop)
            except ValueError:
                break
        return address

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)


def limited_as(address: Address) -> str:
    """Return the name under which an address is limited: an IPv6 subscriber has very many."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _SUBSCRIBER_BITS), strict=False))
    return str(address)


def is_within(address: Address, network: str) -> bool:
    """Tell whether an address is in a network; everything is in an empty one."""
    return not network or address in ipaddress.ip_network(network, strict=False)


def _address(text: str) -> Address:
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
