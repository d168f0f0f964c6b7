"""The dashboard's settings; it reads the control plane's too."""

import ipaddress
from dataclasses import dataclass

from fleethand_common.errors import SettingsError
from fleethand_common.settings import setting
from fleethand_dispatcher.settings import Settings


@dataclass(frozen=True, kw_only=True)
class DashboardSettings(Settings):
    """What an operator may change about the dashboard."""

    dashboard_address: str = setting("127.0.0.1", help="address that the dashboard listens on")
    dashboard_port: int = setting(5555, help="port that the dashboard listens on")
    dashboard_user: str = setting("", help="user that the dashboard asks for")
    dashboard_password: str = setting("", help="password that the dashboard asks for", secret=True)
    dashboard_workers: int = setting(20_000, help="hosts that the dashboard remembers")
    dashboard_tasks: int = setting(50_000, help="executions that the dashboard remembers")
    dashboard_offline_s: int = setting(86_400, help="seconds after which the dashboard forgets an offline host")

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
