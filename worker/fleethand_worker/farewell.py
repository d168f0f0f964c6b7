"""What a host does when the broker does not know it any more: it asks whether it was deregistered, and believes that.

That the broker refuses it proves nothing: whoever owns the broker could have a fleet forget itself. Only the
registration service, over HTTPS and by its pin, can say it.
"""

import logging
from collections.abc import Callable

from fleethand_common.clock import elapsed_s
from fleethand_common.credentials import Credentials
from fleethand_worker.credentials import CredentialFiles

logger = logging.getLogger(__name__)

_ASK_AGAIN_S = 60.0
_TIMEOUT_S = 5.0
_DEREGISTERED = "Registration.Deregistered"


class Farewell:
    """Ends this worker if its host is not enrolled any more.

    Args:
        end: ends the worker.
    """

    def __init__(self, files: CredentialFiles, credentials: Credentials, end: Callable[[], None]) -> None:
        self._files = files
        self._credentials = credentials
        self._end = end
        self._asked_s: float | None = None

    def refused(self) -> None:
        """Look into it that the broker did not let this host in; at most once a minute."""
        if not self._credentials.registration_url:
            return
        if self._asked_s is not None and elapsed_s() - self._asked_s < _ASK_AGAIN_S:
            return
        self._asked_s = elapsed_s()
        if self._is_deregistered():
            logger.error("event=deregistered instance=%s identity=removed", self._credentials.instance_id)
            self._files.remove()
            self._end()

    def _is_deregistered(self) -> bool:
        from fleethand_worker import registering  # noqa: PLC0415 - most hosts never need HTTP
        from fleethand_worker.registration_client import RegistrationError  # noqa: PLC0415

        try:
            client = registering.client_of(self._credentials, attempts=1, timeout_s=_TIMEOUT_S)
            registering.tell(self._credentials, "status", client)
        except RegistrationError as error:
            logger.warning("event=refused_by_broker registration=%s", error.code)
            return error.code == _DEREGISTERED
        logger.warning("event=refused_by_broker registration=enrolled")
        return False
