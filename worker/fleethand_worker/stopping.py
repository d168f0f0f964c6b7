"""How a stop is taken: at once, on the event loop, however many commands run or wait."""

import logging
from typing import Any

from fleethand_common.messages import INSTANCE_HEADER

logger = logging.getLogger(__name__)


def stop_strategy(_task: Any, app: Any, _consumer: Any, **_kwargs: Any) -> Any:
    """Return the handler of stop messages; Celery calls this instead of its default strategy."""
    own_id, admission = app.executor.host.instance_id, app.admission

    def handle(message: Any, *_rest: Any, **_options: Any) -> None:
        if message.headers.get(INSTANCE_HEADER) != own_id:
            logger.error("event=stop_refused reason=for-another-instance")
            return
        try:
            admission.stop(message.body)
        except ValueError:
            logger.error("event=stop_refused reason=unreadable")

    return handle
