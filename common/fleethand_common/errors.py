"""The errors that Fleethand raises, by who must act. A command that exits non-zero is a result, never one of these."""


class FleethandError(Exception):
    """Something went wrong in Fleethand."""

    code = "InternalError"
    """Stable, part of the API."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class RequestError(FleethandError):
    """The caller asked for something that cannot be done as asked."""

    def __init__(self, code: str, message: str, *, http_status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status


class SettingsError(FleethandError):
    """A setting has a value that it cannot have."""

    code = "InvalidSetting"


class ServerUnavailableError(FleethandError):
    """Cannot reach Redis. Check the URL (--redis-url, FLEETHAND_REDIS_URL) and that the server runs."""

    code = "ServiceUnavailable"


class WaitTimeoutError(FleethandError):
    """The wait ran out; the invocation goes on."""

    code = "WaitTimeout"


class ExecutionError(FleethandError):
    """This host cannot carry the order out; raised and answered on the host.

    Args:
        code: an `InstanceErrorCode`, which also decides the status that is reported.
    """

    def __init__(self, code: str, message: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
