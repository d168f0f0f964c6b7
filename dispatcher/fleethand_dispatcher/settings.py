"""The control plane's settings; each is declared once, here."""

from dataclasses import dataclass

from fleethand_common import limits
from fleethand_common.settings import setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator may change about the dispatcher, the aggregator, the beat, the dashboard and the CLI."""

    redis_url: str = setting("redis://127.0.0.1:6379/0", help="the Redis or Valkey server", secret=True)
    region_id: str = setting("local", help="value of {{ACS::RegionId}}")
    account_id: str = setting("0", help="value of {{ACS::AccountId}}")

    delivery_window_s: int = setting(limits.DELIVERY_WINDOW_S, help="seconds in which an order must be started")
    redeliver_after_s: float = setting(3.0, help="seconds without acceptance before an order is sent again")
    lease_s: float = setting(30.0, help="seconds past its timeout after which a silent host's command is judged")
    online_within_s: int = setting(limits.ONLINE_WITHIN_S, help="an instance is online if seen within these seconds")
    stop_grace_s: float = setting(5.0, help="seconds between TERM and KILL when a command is stopped or timed out")

    instances_per_call_max: int = setting(100_000, help="instances that one call may target")
    commands_max: int = setting(50_000, help="commands that may be kept")
    invocations_per_day_max: int = setting(1_000_000, help="invocations in one day, UTC")
    kept_content_bytes: int = setting(limits.KEPT_CONTENT_BYTES, help="Base64 size of a kept command's content")
    unkept_content_bytes: int = setting(limits.UNKEPT_CONTENT_BYTES, help="Base64 size of content that is not kept")
    output_limit_bytes: int = setting(limits.OUTPUT_BYTES, help="bytes of output kept per execution")
    timeout_max_s: int = setting(limits.TIMEOUT_MAX_S, help="longest timeout of a command, in seconds")

    retention_days: int = setting(28, help="days that invocations and their results are kept")
    retention_results: int = setting(100_000, help="results kept at most; the oldest finished invocations go first")

    schedule_grace_s: float = setting(30.0, help="seconds after which a scheduled run that did not fire was missed")
    schedule_catch_up_max: int = setting(10, help="missed runs made up for at most, with the misfire policy all")
    schedule_runs_kept: int = setting(100, help="rows kept in the list of runs of one schedule, and their results")

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
