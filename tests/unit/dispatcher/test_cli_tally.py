"""Folding, failures and the summary."""

from typing import Any

import pytest

from fake_dispatcher import FakeDispatcher, FakeInvocation, result
from fleethand_dispatcher.cli.tally import Tally, reason, summary


def tally_of(*rows: Any) -> Tally:
    """Return a tally of results."""
    tally = Tally()
    for row in rows:
        tally.add(row)
    return tally


def test_equal_outputs_are_folded_the_commonest_first() -> None:
    """187 hosts said X, 3 said Y."""
    rows = [result(f"web-{n:03}", output="5.10\n") for n in range(187)]
    rows += [result(f"db-{n}", output="4.19\n") for n in range(3)]
    assert list(tally_of(*rows).folded()) == ["187 hosts said: 5.10", "3 hosts (db-0, db-1, db-2) said: 4.19"]


def test_a_line_end_more_or_less_is_no_difference() -> None:
    """`printf x` and `echo x` said the same."""
    tally = tally_of(result("a", output="x"), result("b", output="x\n"), result("c", output="x\r\n"))
    assert list(tally.folded()) == ["3 hosts said: x"]


def test_longer_outputs_are_indented_and_cut() -> None:
    """A fold shows the beginning of what was said."""
    text = "".join(f"line {n}\n" for n in range(25))
    lines = list(tally_of(result("a", output=text), result("b", output=text)).folded())
    assert lines[:2] == ["2 hosts said:", "  line 0"]
    assert lines[-1] == "  … 5 more lines"
    assert len(lines) == 22


def test_one_host_is_named_and_silence_is_told() -> None:
    """Who said nothing and succeeded is worth a line; who failed silently stands among the failures."""
    tally = tally_of(result("a"), result("b", output="x"), result("c", "Failed"))
    assert list(tally.folded()) == ["a said nothing", "b said: x"]


@pytest.mark.parametrize(
    ("outputs", "is_worth"),
    [(["x"], False), (["x", "x"], False), (["x", "y", "z"], False), (["x", "x", "y"], True), (["x", "x", "x"], True)],
)
def test_a_fold_is_worth_it_for_many_hosts_that_agree(outputs: list[str], is_worth: bool) -> None:
    """Where each host said something else, the lines above said it all."""
    rows = [result(str(n), output=text) for n, text in enumerate(outputs)]
    assert is_worth == tally_of(*rows).is_worth_folding


def test_many_different_outputs_end_in_a_count() -> None:
    """The screen is not flooded."""
    lines = list(tally_of(*(result(f"h{n:02}", output=str(n)) for n in range(30))).folded())
    assert len(lines) == 21
    assert lines[-1] == "10 hosts said 10 other things"


def test_failures_are_grouped_by_reason() -> None:
    """One line a reason, with the hosts."""
    rows = [result(f"h{n:02}", "Failed") for n in range(10)] + [
        result("x", "Aborted", error_code="ClientNotOnline", error_info="The worker is away."),
        result("y", "Error", error_code="ClientNotResponse", error_info="", presumed=True),
        result("z", dropped=5),
    ]
    assert list(tally_of(*rows).failures()) == [
        "Failed, exit code 3: h00, h01, h02, h03, h04, h05, h06, h07 and 2 more",
        "Aborted, ClientNotOnline (The worker is away): x",
        "Error, ClientNotResponse, presumed, the host is silent: y",
        "z: 5 bytes of output were dropped",
    ]


def test_reason_tells_what_a_host_waits_for() -> None:
    """A host that is away is not a failure yet."""
    assert reason(result("a", "Pending", waiting="waiting, last seen never")) == "Pending, waiting, last seen never"
    assert reason(result("a", "Running")) == "Running"


def test_summary_is_one_line() -> None:
    """The id, the status, the counts with success first, the time."""
    fake = FakeDispatcher([result("a", "Failed"), result("b"), result("c")])
    assert summary(FakeInvocation(fake).record()) == (
        "t-00000000000000000001 PartialFailed: 3 hosts, 2 Success, 1 Failed in 1.2 s"
    )
    assert summary(FakeInvocation(FakeDispatcher([result("a", "Running")])).record()).endswith("1 host, 1 Running")


def test_reason_names_the_signal_that_killed_the_command() -> None:
    """Exit code 137 alone does not say that somebody killed it."""
    info = "The command was killed by SIGKILL."
    killed = result("a", "Failed", exit_code=137, error_code="ExitCodeNonzero", error_info=info)

    assert "Failed, exit code 137, The command was killed by SIGKILL" == reason(killed)


def test_fold_says_so_far_of_hosts_that_still_run() -> None:
    """A wait that ran out must not read as an end."""
    tally = Tally()
    for name, status in (("a", "Success"), ("b", "Running"), ("c", "Running")):
        tally.add(result(name, status, output="hi\n"))

    assert ["2 hosts said so far: hi", "a said: hi"] == list(tally.folded())


def test_altered_results_are_told_before_anything_else() -> None:
    """A success that nobody reported is no success."""
    tally = tally_of(
        result("web-1", "Failed", exit_code=3), result("web-2", authentic=False), result("web-3", authentic=False)
    )
    first, *others = tally.failures()
    assert first.startswith("WARNING: what is recorded of web-2, web-3 was altered in Redis; do not trust it")
    assert "fleethand invocation verify t-" in first
    assert len(others) == 1
    assert reason(result("web-2", "Failed", exit_code=3, authentic=False)) == "Failed, exit code 3, NOT AUTHENTIC"
