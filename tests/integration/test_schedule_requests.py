"""What is refused of a request for a schedule, and that it is made once."""

from datetime import UTC, datetime

import pytest

from beat import schedule
from refusals import refused


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"repeat_mode": "Period"}, "MissingParam.Frequency"),
        ({"repeat_mode": "Sometimes"}, "InvalidRepeatMode.NotFound"),
        ({"repeat_mode": "EveryReboot"}, "InvalidRepeatMode.NotFound"),
        ({"repeat_mode": "NextRebootOnly", "frequency": "rate(5m)"}, "InvalidParameter.Schedule"),
        ({"frequency": "rate(5s)"}, "InvalidParam.Frequency"),
        ({"frequency": "rate(8d)"}, "RateFrequencyTooLarge"),
        ({"frequency": "0 0 0 31 2 ?"}, "CronExpressionExpired"),
        ({"frequency": "* *"}, "BadCronExpression"),
        ({"frequency": "at(2001-01-01 00:00:00)"}, "AtExpressionExpired"),
        ({"frequency": "0 0 0 * * ? Mars/Base"}, "TimezoneInformationCorrupt"),
        ({"overlap": "queue"}, "MissingParam.Frequency"),
        ({"frequency": "rate(5m)", "overlap": "latest"}, "InvalidParameter.Schedule"),
        ({"frequency": "rate(5m)", "misfire": "queue"}, "InvalidParameter.Schedule"),
        ({"frequency": "rate(5m)", "jitter_s": -1}, "InvalidParameter.Schedule"),
        ({"frequency": "rate(5m)", "jitter_s": 300}, "InvalidParameter.Schedule"),
        ({"frequency": "0 0/2 * * * ?", "jitter_s": 120}, "InvalidParameter.Schedule"),
        ({"frequency": "0 0 3 * * ?", "jitter_s": 86_400}, "InvalidParameter.Schedule"),
        ({"frequency": "rate(5m)", "max_runs": 0}, "InvalidParameter.Schedule"),
        ({"frequency": "rate(5m)", "blackout": ["sometimes"]}, "InvalidParameter.Blackout"),
        ({"frequency": "rate(5m)", "end_at": datetime(2001, 1, 1, tzinfo=UTC)}, "InvalidParameter.Schedule"),
        (
            {"frequency": "at(2090-01-01 00:00:00)", "start_at": datetime(2090, 1, 1, 0, 0, 1, tzinfo=UTC)},
            "InvalidParameter.Schedule",
        ),
        ({"frequency": "rate(5m)", "start_at": datetime(2090, 1, 1)}, "InvalidParameter.Schedule"),  # noqa: DTZ001
    ],
)
def test_schedule_that_cannot_be_is_refused_and_leaves_nothing(
    plane, host, arguments: dict[str, object], code: str
) -> None:
    """Everything that may be wrong is found before anything is written."""
    host()

    with refused(code):
        plane.dispatcher.run_command(command_content="true", timeout_s=5, instance_ids=["host-1"], **arguments)

    assert not plane.dispatcher.describe_invocations().items
    assert not plane.store.client.exists("fleethand:due", "fleethand:schedules")


def test_schedule_is_made_once_per_client_token(plane, host) -> None:
    """The same call again is the same schedule."""
    host()

    ids = {schedule(plane, client_token="nightly").invoke_id for _ in range(2)}

    assert len(ids) == 1
    assert len(plane.dispatcher.describe_schedules().items) == 1


def test_dry_run_makes_no_schedule(plane, host) -> None:
    """`RepeatMode=DryRun` and `dry_run` check a schedule and write nothing."""
    host()

    schedule(plane, dry_run=True)
    plane.dispatcher.run_command(command_content="true", instance_ids=["host-1"], repeat_mode="DryRun")

    assert not plane.store.client.exists("fleethand:due", "fleethand:schedules", "fleethand:invocations")
