"""The control plane's settings; each is declared once, here."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fleethand_common import limits, tls
from fleethand_common.settings import setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator may change about the dispatcher, the aggregator, the beat, the dashboard and the CLI."""

    redis_url: str = setting("redis://127.0.0.1:6379/0", help="the Redis or Valkey server", secret=True)
    users_redis_url: str = setting(
        "", help="the same server's URL for who may make Redis users; redis_url if not given", secret=True
    )
    tls_ca_certs: str = setting("", help="file of the certificate authorities that a rediss:// server is checked with")
    tls_certfile: str = setting("", help="file of the certificate that the control plane shows to a rediss:// server")
    tls_keyfile: str = setting("", help="file of that certificate's key")
    keys_dir: str = setting("", help="folder of the control plane's keys; /etc/fleethand/keys, or as a user ~/.config")
    api_key: str = setting("", help="API key of the principal whose policies count", secret=True)
    require_principal: bool = setting(False, help="refuse whoever shows no API key")  # noqa: FBT003 - a default
    region_id: str = setting("local", help="value of {{ACS::RegionId}}")
    account_id: str = setting("0", help="value of {{ACS::AccountId}}")

    delivery_window_s: int = setting(limits.DELIVERY_WINDOW_S, help="seconds in which an order must be started")
    redeliver_after_s: float = setting(3.0, help="seconds without acceptance before an order is sent again")
    lease_s: float = setting(30.0, help="seconds past its timeout after which a silent host's command is judged")
    online_within_s: int = setting(limits.ONLINE_WITHIN_S, help="an instance is online if seen within these seconds")
    stop_grace_s: float = setting(5.0, help="seconds between TERM and KILL when a command is stopped or timed out")

    hosts_redis_url: str = setting(
        "", help="the server's URL as hosts reach it, without user and password; redis_url's if not given"
    )
    activation_ttl_max_h: int = setting(720, help="longest time to live of an activation, in hours")
    activation_instances_max: int = setting(100_000, help="instances that one activation may enrol")
    activations_max: int = setting(50_000, help="activations that may be kept")
    managed_instances_max: int = setting(1_000_000, help="instances that may be enrolled")

    registrar_address: str = setting("0.0.0.0", help="address that the registration service listens on")  # noqa: S104
    registrar_port: int = setting(8443, help="port that the registration service listens on")
    registrar_url: str = setting("", help="its URL as hosts reach it; https://<this machine's name>:<port>")
    registrar_cert: str = setting("", help="file of its certificate; made in the keys folder if not given")
    registrar_key: str = setting("", help="file of that certificate's key")
    registrar_proxies: tuple[str, ...] = setting(
        (), help="networks of proxies whose X-Forwarded-For is believed, separated by commas"
    )
    registrar_address_per_min: int = setting(600, help="requests in a minute that one address may send")
    registrar_activation_per_min: int = setting(1200, help="registrations in a minute that one activation may try")
    registrar_failures_max: int = setting(20, help="wrong codes after which an activation is disabled for good")
    registrar_failure_delay_s: float = setting(1.0, help="seconds before a wrong code is answered")
    registrar_timeout_s: float = setting(10.0, help="seconds that a request may take to arrive")
    registrar_connections_max: int = setting(1000, help="connections that may be open at the same time")
    registrar_pending_s: int = setting(600, help="seconds in which a registration must be confirmed")

    instances_per_call_max: int = setting(100_000, help="instances that one call may target")
    commands_max: int = setting(50_000, help="commands that may be kept")
    invocations_per_day_max: int = setting(1_000_000, help="invocations in one day, UTC")
    kept_content_bytes: int = setting(limits.KEPT_CONTENT_BYTES, help="Base64 size of a kept command's content")
    unkept_content_bytes: int = setting(limits.UNKEPT_CONTENT_BYTES, help="Base64 size of content that is not kept")
    output_limit_bytes: int = setting(limits.OUTPUT_BYTES, help="bytes of output kept per execution")
    timeout_max_s: int = setting(limits.TIMEOUT_MAX_S, help="longest timeout of a command, in seconds")

    retention_days: int = setting(28, help="days that invocations and their results are kept")
    retention_results: int = setting(100_000, help="results kept at most; the oldest finished invocations go first")
    audit_retention_days: int = setting(365, help="days that the audit log is kept")

    schedule_grace_s: float = setting(30.0, help="seconds after which a scheduled run that did not fire was missed")
    schedule_catch_up_max: int = setting(10, help="missed runs made up for at most, with the misfire policy all")
    schedule_runs_kept: int = setting(
        100, help="times kept in the list of runs of one schedule, and the results of their runs"
    )

    report_batch: int = setting(500, help="reports that an aggregator takes at once")
    reaper_interval_s: float = setting(0.5, help="seconds between two looks at deadlines")
    log_level: str = setting("INFO", help="DEBUG, INFO, WARNING or ERROR")

    dashboard_address: str = setting("127.0.0.1", help="address that the dashboard listens on")
    dashboard_port: int = setting(5555, help="port that the dashboard listens on")
    dashboard_user: str = setting("", help="user that the dashboard asks for")
    dashboard_password: str = setting("", help="password that the dashboard asks for", secret=True)
    dashboard_workers: int = setting(20_000, help="hosts that the dashboard remembers")
    dashboard_tasks: int = setting(50_000, help="executions that the dashboard remembers")
    dashboard_offline_s: int = setting(86_400, help="seconds after which the dashboard forgets an offline host")

    def server_url(self, url: str = "") -> str:
        """Return the URL of the server, or *url* in its place, with what TLS needs as redis-py reads it.

        Raises:
            SettingsError: a file cannot be read, or nothing would be encrypted though files are given.
        """
        url = url or self.redis_url
        options = self.ssl_options(url)
        if options is None:
            return url
        named = {**options, "ssl_cert_reqs": "required"}
        return f"{url}{'&' if '?' in url else '?'}{urlencode(named)}"

    def ssl_options(self, url: str) -> dict[str, Any] | None:
        """Return redis-py's options for TLS to *url*; None without TLS, and where the URL itself says what to check.

        Raises:
            SettingsError: as `server_url`.
        """
        if "ssl_cert_reqs" in url:
            return None
        return tls.ssl_options(url, ca_certs=self.tls_ca_certs, certfile=self.tls_certfile, keyfile=self.tls_keyfile)

    def keys_path(self) -> Path:
        """Return the folder of the control plane's keys."""
        if self.keys_dir:
            return Path(self.keys_dir).expanduser()
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            return Path("/etc/fleethand/keys")
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "fleethand" / "keys"
