"""What must hold of the settings before the dashboard may start."""

import ipaddress
from dataclasses import dataclass

from fleethand_common.errors import SettingsError
from fleethand_dispatcher.settings import Settings


@dataclass(frozen=True, kw_only=True)
class DashboardSettings(Settings):
    """The settings of the control plane, fit for a dashboard."""

    def __post_init__(self) -> None:
        """Refuse to show the fleet to a network without a password.

        Raises:
            SettingsError: it would listen beyond this machine for everybody, or half of a login is missing.
        """
        if bool(self.dashboard_user) != bool(self.dashboard_password):
            raise SettingsError(
                "cannot start the dashboard with half of a login: give both FLEETHAND_DASHBOARD_USER and"
                " FLEETHAND_DASHBOARD_PASSWORD, or none"
            )
        if not self.dashboard_password and not is_loopback(self.dashboard_address):
            raise SettingsError(
                f"cannot start the dashboard on {self.dashboard_address or 'every address'} without a login: set"
                " FLEETHAND_DASHBOARD_USER and FLEETHAND_DASHBOARD_PASSWORD, or listen on 127.0.0.1"
            )


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach *address*; a name may mean anything, except `localhost`."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
