"""Command types, how parameters reach a script, and what may be stopped: the enumerations of a command."""

from enum import StrEnum


class CommandType(StrEnum):
    """Which interpreter a command's content is for (spec 2.1)."""

    SHELL = "RunShellScript"
    POWERSHELL = "RunPowerShellScript"
    BAT = "RunBatScript"


class ContentEncoding(StrEnum):
    """How content and output travel in a request or an answer (spec 0.2)."""

    PLAIN_TEXT = "PlainText"
    BASE64 = "Base64"


class Interpolation(StrEnum):
    """How a parameter's value reaches the script."""

    TEXT = "text"
    """Replaced in the content, as the overview says; a value can become code."""
    ENV = "env"
    """Put into an environment variable that the content refers to; a value never becomes code."""


class TerminationMode(StrEnum):
    """What a stop or a timeout kills (spec 8.5)."""

    PROCESS = "Process"
    PROCESS_TREE = "ProcessTree"


class RepeatMode(StrEnum):
    """When a command runs (spec 2.5); the two at boot are not built yet."""

    ONCE = "Once"
    PERIOD = "Period"
    NEXT_REBOOT_ONLY = "NextRebootOnly"
    EVERY_REBOOT = "EveryReboot"
    DRY_RUN = "DryRun"
