"""Every verb says what it needs, and nothing that is said is left over."""

import inspect

import pytest

from fleethand_dispatcher.authorization import OPEN, VERBS, authorized
from fleethand_dispatcher.dispatcher import Dispatcher
from fleethand_dispatcher.policies import Resource, decide
from fleethand_dispatcher.policy_documents import ADMINISTRATOR, BUILT_IN, FULL_ACCESS

PUBLIC = {name for name, _ in inspect.getmembers(Dispatcher, callable) if not name.startswith("_")}
NOT_ASKED = {"close", "of_stack", "as_principal"}


def test_every_public_verb_has_a_row_and_every_row_a_verb() -> None:
    """A verb that is forgotten here would be open to everybody."""
    assert set(VERBS) == PUBLIC


def test_class_with_a_verb_without_a_row_cannot_be_defined() -> None:
    """It is found when the program starts, not when somebody calls the verb."""
    with pytest.raises(TypeError, match=r"Careless\.launch_missiles has no row"):

        @authorized
        class Careless:
            def launch_missiles(self) -> None:
                """Do what nobody allowed."""


def test_only_three_verbs_ask_for_nothing() -> None:
    """Opening and closing; whoever calls anything else must be somebody."""
    assert {name for name, verb in VERBS.items() if verb is OPEN} == NOT_ASKED


@pytest.mark.parametrize("name", sorted(set(VERBS) - NOT_ASKED - {"server_time"}))
def test_verb_needs_something_of_the_policies(name: str) -> None:
    """Each other verb has an action, before it begins, at its targets, or for what it shows."""
    verb = VERBS[name]

    assert verb.needs or verb.admits or verb.stops or verb.alters or verb.invocation or verb.shows


def test_every_action_of_the_api_is_in_the_policy_for_full_access() -> None:
    """What is Fleethand's own and leads to more rights needs the administrator's."""
    own = {"fleethand:DescribeDeadReports", "fleethand:DropDeadReports"}
    own |= {f"fleethand:{verb}" for verb in ("DescribeSchedules", "PauseSchedule", "ResumeSchedule")}
    for verb in VERBS.values():
        actions = {need.action for need in verb.needs} | {verb.admits, verb.stops, verb.alters} - {""}
        for action in actions:
            on = Resource("acs:ecs:local:0:instance/x")
            assert decide([BUILT_IN[ADMINISTRATOR]], action, on, {}).allowed
            if action.startswith("ecs:") or action in own:
                assert decide([BUILT_IN[FULL_ACCESS]], action, on, {}).allowed, action
