"""How stops and directives are taken: at once, on the event loop, however many commands run or wait."""

import logging
from collections.abc import Callable
from typing import Any

from fleethand_worker.trust import Distrusted

logger = logging.getLogger(__name__)


def stop_strategy(_task: Any, app: Any, _consumer: Any, **_kwargs: Any) -> Any:
    """Return the handler of stop messages; Celery calls this instead of its default strategy."""
    return _handler(app, app.admission.stop)


def directive_strategy(_task: Any, app: Any, _consumer: Any, **_kwargs: Any) -> Any:
    """Return the handler of directives; Celery calls this instead of its default strategy."""
    return _handler(app, app.direction.take)


def _handler(app: Any, take: Callable[[Any, Any], None]) -> Any:
    def handle(message: Any, *_rest: Any, **_options: Any) -> None:
        try:
            take(message.body, message.headers)
        except Distrusted as error:
            app.refusals.tell(error.reason, error.detail, error.invocation_id)

    return handle
