"""Who may knock at the registration service how often, and whose address counts."""

import ipaddress

import pytest

from fleethand_common.errors import SettingsError
from fleethand_dispatcher.registrar.limiter import RateLimiter
from fleethand_dispatcher.registrar.source import Sources, is_within, limited_as


def test_limiter_allows_a_minutes_worth_at_once_and_then_one_at_a_time() -> None:
    """The bucket is full at first and fills evenly."""
    limiter = RateLimiter(60)

    assert [limiter.wait_s("a", 0.0) for _ in range(60)] == [0.0] * 60
    assert limiter.wait_s("a", 0.0) == pytest.approx(1.0)
    assert limiter.wait_s("a", 0.5) == pytest.approx(0.5)
    assert limiter.wait_s("a", 1.0) == 0.0
    assert limiter.wait_s("a", 1.0) > 0


def test_limiter_keeps_keys_apart() -> None:
    """One who knocks too often is nobody else's trouble."""
    limiter = RateLimiter(1)

    assert (limiter.wait_s("a", 0.0), limiter.wait_s("b", 0.0)) == (0.0, 0.0)
    assert limiter.wait_s("a", 0.0) > 0


def test_limiter_is_bounded_however_many_keys_there_are() -> None:
    """The one that knocked longest ago is forgotten."""
    limiter = RateLimiter(1)
    for number in range(20_001):
        limiter.wait_s(str(number), 0.0)

    assert limiter.wait_s("0", 0.0) == 0.0
    assert limiter.wait_s("20000", 0.0) > 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        ("10.0.0.9", "", "10.0.0.9"),
        ("192.0.2.1", "1.1.1.1", "192.0.2.1"),
        ("10.0.0.9", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.9", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.9", "6.6.6.6, 1.1.1.1, 10.0.0.8", "1.1.1.1"),
        ("10.0.0.9", "nonsense", "10.0.0.9"),
        ("::ffff:10.0.0.9", "1.1.1.1", "1.1.1.1"),
    ],
)
def test_forwarded_address_counts_only_behind_a_trusted_proxy(peer: str, forwarded: str, source: str) -> None:
    """The header is read from its end: what stands before the first stranger is the stranger's own word."""
    assert str(Sources(["10.0.0.0/24"]).of(peer, forwarded)) == source


def test_proxies_that_are_no_networks_are_refused() -> None:
    """A typing error must not make everybody a proxy, nor nobody."""
    with pytest.raises(SettingsError, match="registrar_proxies"):
        Sources(["10.0.0.0/99"])


def test_ipv6_subscriber_is_limited_as_one() -> None:
    """It has 2^64 addresses."""
    assert limited_as(ipaddress.ip_address("2001:db8::1")) == limited_as(ipaddress.ip_address("2001:db8::2"))
    assert limited_as(ipaddress.ip_address("10.0.0.1")) != limited_as(ipaddress.ip_address("10.0.0.2"))


@pytest.mark.parametrize(
    ("network", "inside"),
    [("", True), ("10.0.0.7", True), ("10.0.0.0/24", True), ("10.0.1.0/24", False), ("::/0", False)],
)
def test_address_is_within_its_network(network: str, inside: bool) -> None:
    """An empty one is everywhere."""
    assert is_within(ipaddress.ip_address("10.0.0.7"), network) is inside
