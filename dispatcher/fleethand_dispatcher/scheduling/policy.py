"""What a caller may ask of a schedule beside its frequency: the options, checked and as they are kept."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
from pydantic import field_validator, model_validator

from fleethand_common.commands import RepeatMode
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.requests import Request
from fleethand_dispatcher.schedules.windows import parse_blackout

JITTER_MAX_S = 86_400


class Overlap(StrEnum):
    """What becomes of a run on a host where the one before is still active."""

    SKIP = "skip"
    """It does not take place there."""
    QUEUE = "queue"
    """One waits for the end of the active one; a further one is skipped."""
    PARALLEL = "parallel"
    """It starts beside the other."""


class Misfire(StrEnum):
    """What becomes of runs whose time passed while no beat worked."""

    SKIP = "skip"
    """They are not made up for."""
    LATEST = "latest"
    """The newest of them runs, once."""
    ALL = "all"
    """Each runs, one after the other, up to a bound."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of one schedule; times are milliseconds since 1970."""

    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.SKIP
    jitter_s: int = 0
    start_at: int | None = None
    end_at: int | None = None
    max_runs: int | None = None
    blackout: list[str] = []
    stop_on_failure: bool = False


class ScheduleRequest(Request):
    """The part of a request that says when a command runs (spec 2.5)."""

    repeat_mode: str | None = None
    frequency: str = ""
    overlap: str = Overlap.SKIP
    misfire: str = Misfire.SKIP
    jitter_s: int = 0
    start_at: datetime | None = None
    end_at: datetime | None = None
    max_runs: int | None = None
    blackout: tuple[str, ...] = ()
    stop_on_failure: bool = False

    @field_validator("repeat_mode")
    @classmethod
    def _mode_is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in set(RepeatMode):
            raise refusal("InvalidRepeatMode.NotFound", f"Cannot use {value!r}; there are {', '.join(RepeatMode)}.")
        return value

    @field_validator("overlap", "misfire")
    @classmethod
    def _choice_is_known(cls, value: str) -> str:
        if value not in {*Overlap, *Misfire}:
            raise refusal("InvalidParameter.Schedule", f"Cannot use {value!r}.")
        return value

    @field_validator("blackout", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _options_fit(self) -> "ScheduleRequest":
        _one_of("overlap", self.overlap, Overlap)
        _one_of("misfire", self.misfire, Misfire)
        if not 0 <= self.jitter_s <= JITTER_MAX_S:
            bound = f"Cannot use jitter_s={self.jitter_s}: it must be 0 to {JITTER_MAX_S} seconds."
            raise refusal("InvalidParameter.Schedule", bound)
        if self.max_runs is not None and self.max_runs < 1:
            raise refusal("InvalidParameter.Schedule", f"Cannot use max_runs={self.max_runs}: it must be 1 or more.")
        for name in ("start_at", "end_at"):
            _aware(name, getattr(self, name))
        if self.start_at and self.end_at and self.end_at <= self.start_at:
            raise refusal("InvalidParameter.Schedule", "Cannot end before the start: end_at is not after start_at.")
        parse_blackout(self.blackout)
        return self

    def policy(self) -> Policy:
        """Return the options as they are kept."""
        return Policy(
            overlap=Overlap(self.overlap),
            misfire=Misfire(self.misfire),
            jitter_s=self.jitter_s,
            start_at=to_ms(self.start_at),
            end_at=to_ms(self.end_at),
            max_runs=self.max_runs,
            blackout=list(self.blackout),
            stop_on_failure=self.stop_on_failure,
        )


def _one_of(name: str, value: str, kind: type[StrEnum]) -> None:
    if value not in set(kind):
        raise refusal("InvalidParameter.Schedule", f"Cannot use {name}={value!r}; there are {', '.join(kind)}.")


def _aware(name: str, value: datetime | None) -> None:
    if value is not None and value.tzinfo is None:
        way_out = "write 2027-01-01T09:00:00Z or give an aware datetime."
        raise refusal("InvalidParameter.Schedule", f"Cannot use {name}={value}: it has no time zone; {way_out}")


def to_ms(moment: datetime | None) -> int | None:
    """Return a moment in milliseconds since 1970."""
    return None if moment is None else round(moment.astimezone(UTC).timestamp() * 1000)


SCHEDULE_FIELDS = frozenset(ScheduleRequest.model_fields)


def part(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what says when a command runs from what says how."""
    when = {name: value for name, value in arguments.items() if name in SCHEDULE_FIELDS}
    return when, {name: value for name, value in arguments.items() if name not in SCHEDULE_FIELDS}


def check_mode(request: ScheduleRequest) -> bool:
    """Tell whether *request* asks for a schedule.

    Raises:
        RequestError: the mode needs a frequency, or is not built yet.
    """
    if request.frequency:  # the API forces Period when there is a frequency
        if request.repeat_mode in (RepeatMode.NEXT_REBOOT_ONLY, RepeatMode.EVERY_REBOOT):
            raise refusal("InvalidParameter.Schedule", f"{request.repeat_mode} runs at boot and takes no frequency.")
        return True
    if request.repeat_mode == RepeatMode.PERIOD:
        raise refusal("MissingParam.Frequency", "Write rate(5m), at(2027-01-01 09:00:00) or cron with 6 to 8 fields.")
    if request.repeat_mode in (RepeatMode.NEXT_REBOOT_ONLY, RepeatMode.EVERY_REBOOT):
        way_out = "Until then, let a unit of the host's own init system run it."
        raise refusal("InvalidRepeatMode.NotFound", f"{request.repeat_mode} is not built yet. {way_out}")
    given = request.model_fields_set - {"repeat_mode", "frequency"}
    if given:
        raise refusal("MissingParam.Frequency", f"{', '.join(sorted(given))} needs a frequency.")
    return False
