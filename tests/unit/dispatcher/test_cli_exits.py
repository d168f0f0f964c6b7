"""The exit codes of a command that waits."""

from itertools import combinations

import pytest

from fleethand_common.states import STOPPED_KIND, TERMINAL, InstanceStatus
from fleethand_dispatcher.cli import exits

S = InstanceStatus
MIXES = [frozenset(mix) for size in range(1, len(TERMINAL) + 1) for mix in combinations(sorted(TERMINAL), size)]


def expected_code(mix: frozenset[InstanceStatus]) -> int:
    """The rules as a table of first matches, written down a second time in another form."""
    troubles = mix - {S.SUCCESS}
    rules = [
        (not troubles, 0),
        (S.ABORTED in mix, 5),
        (troubles == {S.TIMEOUT}, 6),
        (all(status in STOPPED_KIND for status in troubles), 7),
        (S.SUCCESS in mix, 3),
        (True, 4),
    ]
    return next(code for holds, code in rules if holds)


def test_every_mix_of_statuses_has_its_code() -> None:
    """All 511 mixes of the nine terminal statuses."""
    assert len(MIXES) == 511
    for mix in MIXES:
        assert expected_code(mix) == exits.exit_code(dict.fromkeys(mix, 2)), mix


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({}, 0),
        ({S.SUCCESS: 3}, 0),
        ({S.SUCCESS: 3, S.FAILED: 0}, 0),
        ({S.SUCCESS: 2, S.FAILED: 1}, 3),
        ({S.FAILED: 3}, 4),
        ({S.INVALID: 1, S.ERROR: 1}, 4),
        ({S.SUCCESS: 99, S.ABORTED: 1}, 5),
        ({S.FAILED: 1, S.TIMEOUT: 1, S.ABORTED: 1}, 5),
        ({S.TIMEOUT: 1}, 6),
        ({S.SUCCESS: 1, S.TIMEOUT: 1}, 6),
        ({S.SUCCESS: 1, S.FAILED: 1, S.TIMEOUT: 1}, 3),
        ({S.FAILED: 1, S.TIMEOUT: 1}, 4),
        ({S.TERMINATED: 1, S.CANCELLED: 1}, 7),
        ({S.SUCCESS: 1, S.STOPPED: 1}, 7),
        ({S.TERMINATED: 1, S.FAILED: 1}, 4),
    ],
)
def test_a_known_mix_has_its_code(counts: dict[InstanceStatus, int], code: int) -> None:
    """The examples that the documentation gives."""
    assert code == exits.exit_code(counts)


def test_counts_by_plain_names_count_too() -> None:
    """Counts can come from JSON, where statuses are plain text."""
    assert exits.exit_code({"Success": 1, "Aborted": 1}) == 5  # type: ignore[dict-item]


def test_help_names_every_code() -> None:
    """What `--help` says is complete."""
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 124, 130):
        assert f"\n  {code} " in exits.HELP
