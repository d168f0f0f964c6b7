"""Following directives: whom to trust, and whether anything may be started."""

import logging
from collections.abc import Callable, Mapping

from fleethand_common.signing import Kind
from fleethand_worker.executor import Executor
from fleethand_worker.trust import Trust

logger = logging.getLogger(__name__)


class Direction:
    """Takes directives and does what they say, also the one that was in force before a restart."""

    def __init__(self, trust: Trust, executor: Executor, on_change: Callable[[], None]) -> None:
        """Begin as the last worker ended.

        Args:
            on_change: called after each directive that was taken, so that the control plane hears of it.
        """
        self._trust = trust
        self._executor = executor
        self._on_change = on_change
        self._executor.set_frozen(*trust.frozen)

    def take(self, body: bytes | str, headers: Mapping[str, object]) -> None:
        """Take a directive.

        Raises:
            Distrusted: it is not to be followed.
        """
        directive = self._trust.follow(self._trust.open(Kind.DIRECTIVE, body, headers))
        logger.warning(
            "event=directive sequence=%d keys=%d frozen=%s", directive.sequence, len(directive.keys), directive.frozen
        )
        self._executor.set_frozen(*self._trust.frozen)
        self._on_change()
