"""When the dashboard may start."""

import pytest

from fleethand_common.errors import SettingsError
from fleethand_dispatcher.dashboard.settings import DashboardSettings, is_loopback


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_dashboard_needs_no_login_on_loopback(address: str) -> None:
    """Only this machine can reach it."""
    assert is_loopback(DashboardSettings(dashboard_address=address).dashboard_address)


@pytest.mark.parametrize("address", ["0.0.0.0", "", "::", "192.168.1.7", "fleet.example.org", "localhost.example.org"])
def test_dashboard_refuses_a_network_without_a_login(address: str) -> None:
    """The message names the two settings to set."""
    with pytest.raises(SettingsError, match="FLEETHAND_DASHBOARD_PASSWORD"):
        DashboardSettings(dashboard_address=address)


def test_dashboard_starts_on_a_network_with_a_login() -> None:
    """User and password open every address."""
    settings = DashboardSettings(dashboard_address="0.0.0.0", dashboard_user="ops", dashboard_password="secret")

    assert "ops" == settings.dashboard_user


@pytest.mark.parametrize("half", [{"dashboard_user": "ops"}, {"dashboard_password": "secret"}])
def test_dashboard_refuses_half_of_a_login(half: dict[str, str]) -> None:
    """A forgotten half must not leave it open."""
    with pytest.raises(SettingsError, match="half"):
        DashboardSettings(**half)
