"""The registration service's HTTP: limits, strict JSON in, JSON out; it decides nothing."""

import asyncio
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from tornado.web import Application, RequestHandler

from fleethand_common import enrolling
from fleethand_common.clock import elapsed_s
from fleethand_common.enrolling import ConfirmRequest, HostRequest, Refused, RegisterRequest
from fleethand_common.errors import FleethandError, RequestError
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.connection import SERVER_ERRORS
from fleethand_dispatcher.registrar.limiter import RateLimiter
from fleethand_dispatcher.registrar.registration import Registration
from fleethand_dispatcher.registrar.source import Address, Sources, limited_as
from fleethand_dispatcher.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")
_THREADS = 4
"""Each may check a code, which takes 16 MB and a core for a moment."""
_UNAVAILABLE = Refused(code="ServiceUnavailable", message="cannot reach the records; try again later")


class ThrottledError(Exception):
    """Somebody knocks too often."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class Desk:
    """What all handlers share."""

    def __init__(self, registration: Registration, settings: Settings) -> None:
        self.registration = registration
        self.failure_delay_s = settings.registrar_failure_delay_s
        self._sources = Sources(settings.registrar_proxies)
        self._by_address = RateLimiter(settings.registrar_address_per_min)
        self._by_activation = RateLimiter(settings.registrar_activation_per_min)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="registration")

    def admit(self, peer: str, forwarded: str) -> Address:
        """Return where a request comes from.

        Raises:
            ThrottledError: there have been too many from there.
        """
        address = self._sources.of(peer, forwarded)
        _check(self._by_address.wait_s(limited_as(address), elapsed_s()))
        return address

    def admit_activation(self, activation_id: str) -> None:
        """Count a registration against its activation.

        Raises:
            ThrottledError: there have been too many.
        """
        _check(self._by_activation.wait_s(activation_id, elapsed_s()))

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run what waits for Redis or counts for long beside the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _check(wait_s: float) -> None:
    if wait_s:
        raise ThrottledError(wait_s)


class _Handler(RequestHandler):
    """Turns what can go wrong into an answer; every answer is JSON, also that to a path which does not exist."""

    desk: Desk

    def initialize(self, desk: Desk) -> None:
        """Take what the application gives to each request."""
        self.desk = desk

    def set_default_headers(self) -> None:
        """Tell nobody what runs here, and have nobody keep an answer."""
        self.clear_header("Server")
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")

    async def answer(self) -> msgspec.Struct:
        """Return what a request is answered with."""
        raise NotImplementedError

    async def respond(self) -> None:
        """Answer, or say why not."""
        try:
            self.finish(enrolling.encode(await self.answer()))
        except ThrottledError as error:
            self.set_header("Retry-After", str(math.ceil(error.wait_s)))
            self._refuse(refusal("Registration.Throttled", f"Try again in {math.ceil(error.wait_s)} s."))
        except RequestError as error:
            if error.code == "Registration.Refused":
                await asyncio.sleep(self.desk.failure_delay_s)
            self._refuse(error)
        except (*SERVER_ERRORS, FleethandError) as error:
            logger.error("event=unavailable reason=%s", type(error).__name__)
            self.set_status(503)
            self.finish(enrolling.encode(_UNAVAILABLE))

    def source(self) -> Address:
        """Return where this request comes from, and count it."""
        return self.desk.admit(self.request.remote_ip or "", self.request.headers.get("X-Forwarded-For", ""))

    def read(self, kind: type[T]) -> T:
        """Return the request's body.

        Raises:
            RequestError: it is not just what is asked for.
        """
        try:
            return msgspec.json.decode(self.request.body, type=kind)
        except msgspec.DecodeError as error:  # its text names fields, never values
            raise refusal("Registration.Malformed", f"{error}.") from None

    def _refuse(self, error: RequestError) -> None:
        self.set_status(error.http_status)
        self.finish(enrolling.encode(Refused(code=error.code, message=str(error))))

    def write_error(self, status_code: int, **_details: Any) -> None:
        """Say no more than the status, as the rest is for the log."""
        self.finish(enrolling.encode(Refused(code="Registration.Malformed", message=f"HTTP status {status_code}")))


class _Post(_Handler):
    async def post(self) -> None:
        """Answer."""
        await self.respond()


class Register(_Post):
    """`POST /v1/register`."""

    async def answer(self) -> msgspec.Struct:
        """See `Registration.register`."""
        source = self.source()
        request = self.read(RegisterRequest)
        self.desk.admit_activation(request.activation_id)
        return await self.desk.call(self.desk.registration.register, request, source)


class Confirm(_Post):
    """`POST /v1/confirm`."""

    async def answer(self) -> msgspec.Struct:
        """See `Registration.confirm`."""
        source = self.source()
        return await self.desk.call(self.desk.registration.confirm, self.read(ConfirmRequest), source)


class Deregister(_Post):
    """`POST /v1/deregister`."""

    async def answer(self) -> msgspec.Struct:
        """See `Registration.deregister`."""
        source = self.source()
        return await self.desk.call(self.desk.registration.deregister, self.read(HostRequest), source)


class Status(_Post):
    """`POST /v1/status`."""

    async def answer(self) -> msgspec.Struct:
        """See `Registration.status`."""
        self.source()
        return await self.desk.call(self.desk.registration.status, self.read(HostRequest))


class Health(_Handler):
    """`GET /v1/health`: whether hosts can be enrolled now."""

    async def get(self) -> None:
        """Answer."""
        await self.respond()

    async def answer(self) -> msgspec.Struct:
        """Ask the records."""
        self.source()
        return Healthy(at_ms=await self.desk.call(self.desk.registration.now_ms))


class NotFound(_Handler):
    """Any other path."""

    async def prepare(self) -> None:
        """Count it, and say that there is nothing."""
        try:
            self.source()
            self.set_status(404)
            self.write_error(404)
        except ThrottledError:
            self.set_status(429)
            self.write_error(429)


class Healthy(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `health`: the control plane's time."""

    at_ms: int


def make_application(desk: Desk) -> Application:
    """Return the service's paths."""
    with_desk = {"desk": desk}
    return Application(
        [
            (enrolling.REGISTER_PATH, Register, with_desk),
            (enrolling.CONFIRM_PATH, Confirm, with_desk),
            (enrolling.DEREGISTER_PATH, Deregister, with_desk),
            (enrolling.STATUS_PATH, Status, with_desk),
            (enrolling.HEALTH_PATH, Health, with_desk),
        ],
        default_handler_class=NotFound,
        default_handler_args=with_desk,
        log_function=_log,
        compress_response=False,
    )


def _log(handler: RequestHandler) -> None:
    request = handler.request
    logger.info(
        "event=answered method=%s path=%s status=%d source=%s ms=%d",
        request.method,
        request.path[:100],
        handler.get_status(),
        request.remote_ip,
        int(request.request_time() * 1000),
    )
