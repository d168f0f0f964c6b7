"""A fleet of each test's own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fleet import Fleet, FleetFactory, running_fleet


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[FleetFactory]:
    """Make a fleet with settings of the control plane: `make_fleet(delivery_window_s=3)`."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Fleet:
            return stack.enter_context(running_fleet(tmp_path / "fleet", **settings))

        yield make


@pytest.fixture
def fleet(make_fleet: FleetFactory) -> Fleet:
    """A server with nothing on it yet."""
    return make_fleet()
