"""The composition root of the registration service: settings in, a server out; it listens until TERM or INT."""

import logging
import signal
import socket
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from fleethand_common.enrolling import BODY_BYTES_MAX
from fleethand_common.errors import FleethandError
from fleethand_dispatcher import registrar_facts
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.redis_users import RedisUsers
from fleethand_dispatcher.registrar.certificate import Certificate
from fleethand_dispatcher.registrar.handlers import Desk, make_application
from fleethand_dispatcher.registrar.registration import Registration
from fleethand_dispatcher.registrar_facts import RegistrarFacts
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

logger = logging.getLogger(__name__)

_HEADER_BYTES_MAX = 16 * 1024


class BoundedServer(HTTPServer):
    """A server that takes so many connections and no more: whoever opens them and says nothing gets no more memory."""

    _most = 1000
    _open = 0

    def limit(self, most: int) -> None:
        """Take at most so many connections at the same time."""
        self._most = most

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Serve a connection, or close it at once."""
        if self._open >= self._most:
            stream.close()
            return
        self._open += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        """Count a connection that is gone."""
        self._open -= 1
        super().on_close(server_conn)


def main(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        FleethandError: the keys, the certificate or the port cannot be used.
    """
    keyring = Keyring.load(settings.keys_path())
    certificate = Certificate.of(settings)
    # A stack's command line has a user that may not make users; the service is one with the other.
    store = Store.at(settings.server_url(settings.users_redis_url), keyring.vault)
    loop = IOLoop.current()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.add_callback_from_signal(loop.stop))
    try:
        with RedisUsers.of(settings) as users:
            _listen(settings, certificate, Desk(Registration(store, users, keyring, settings), settings))
            facts = RegistrarFacts(url=public_url(settings), pin=certificate.pin())
            guarded(registrar_facts.write)(store, facts)
            logger.info("event=listening url=%s pin=%s", facts.url, facts.pin)
            loop.start()
    finally:
        store.close()


def public_url(settings: Settings) -> str:
    """Return the URL that hosts are told."""
    return settings.registrar_url.rstrip("/") or f"https://{socket.getfqdn()}:{settings.registrar_port}"


def _listen(settings: Settings, certificate: Certificate, desk: Desk) -> None:
    server = BoundedServer(
        make_application(desk),
        ssl_options=certificate.context(),
        max_body_size=BODY_BYTES_MAX,
        max_buffer_size=2 * BODY_BYTES_MAX,
        max_header_size=_HEADER_BYTES_MAX,
        body_timeout=settings.registrar_timeout_s,
        idle_connection_timeout=settings.registrar_timeout_s,  # also how long the handshake and the headers may take
    )
    server.limit(settings.registrar_connections_max)
    where = f"{settings.registrar_address}:{settings.registrar_port}"
    try:
        server.listen(settings.registrar_port, settings.registrar_address)
    except OSError as error:
        raise FleethandError(f"cannot listen on {where}: {error.strerror}") from error
