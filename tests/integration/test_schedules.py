"""A schedule from its beginning to its end: statuses, repeats, the last run in the row, stops."""

from beat import EVERY_MINUTE, MINUTE, begin_run, next_time, row, run_through, schedule
from refusals import refused
from time_travel import pass_time


def test_schedule_waits_runs_and_waits_again(plane, host, beat) -> None:
    """Scheduled, Running, Scheduled; repeats counts runs, and the row shows the last one."""
    one = host()
    invocation = schedule(plane)
    seen = [(invocation.status, row(invocation).repeats)]

    run_id = begin_run(plane, beat, one, invocation)
    seen.append((invocation.status, row(invocation).repeats))
    one.finish(run_id, "Failed", exit_code=3, output="no\n", error_code="ExitCodeNonzero")
    plane.settle()

    last = row(invocation)
    assert seen == [("Scheduled", 0), ("Running", 1)]
    assert (invocation.status, last.repeats, last.exit_code, last.output) == ("Scheduled", 1, 3, "no\n")
    assert last.error_code == "ExitCodeNonzero"
    beat.at(next_time(plane, invocation))
    run_through(plane, one)
    last = row(invocation)
    assert (last.repeats, last.exit_code, last.output, last.error_code) == (2, 0, "hi\n", "")


def test_order_names_the_schedule_in_its_built_in_parameters(plane, host, beat) -> None:
    """The run has an id of its own on the host; `{{ACS::InvokeId}}` is the one that the caller knows."""
    one = host()
    invocation = schedule(plane)
    due = next_time(plane, invocation)

    beat.at(due)

    (order,) = one.orders()
    assert order.built_ins["InvokeId"] == invocation.invoke_id
    assert order.invocation_id == f"{invocation.invoke_id}.{round(due.timestamp() * 1000)}"


def test_at_ends_with_its_run(plane, host, beat) -> None:
    """After the only run the schedule is over, and Success or Failed by that run."""
    one, two = host("host-1"), host("host-2")
    at = (beat.now() + 2 * MINUTE).replace(microsecond=0)
    invocation = schedule(plane, f"at({at:%Y-%m-%d %H:%M:%S})", instance_ids=["host-1", "host-2"])

    beat.at(at)
    run_through(plane, one)
    run_through(plane, two, status="Timeout")

    assert {result.instance_id: result.invocation_status for result in invocation.results()} == {
        "host-1": "Success",
        "host-2": "Failed",
    }
    assert invocation.wait(1).invocation_status == "PartialFailed"
    assert not plane.dispatcher.describe_schedules().items
    assert not plane.store.client.zcard("fleethand:due")


def test_one_failing_run_does_not_end_the_schedule_and_the_last_one_decides(plane, host, beat) -> None:
    """With `max_runs` the schedule ends; what it ends with is the last run's."""
    one = host()
    invocation = schedule(plane, max_runs=2)

    beat.at(next_time(plane, invocation))
    run_through(plane, one, status="Failed", exit_code=1)
    between = invocation.status
    beat.at(next_time(plane, invocation))
    run_through(plane, one)

    assert (between, invocation.status, row(invocation).repeats) == ("Scheduled", "Success", 2)


def test_stop_on_failure_ends_the_schedule_on_the_host_that_failed(plane, host, beat) -> None:
    """A host whose run fails leaves as Failed; the others go on."""
    one, two = host("host-1"), host("host-2")
    invocation = schedule(plane, instance_ids=["host-1", "host-2"], stop_on_failure=True)

    beat.at(next_time(plane, invocation))
    run_through(plane, one, status="Failed", exit_code=1)
    run_through(plane, two)
    beat.at(next_time(plane, invocation))

    assert (row(invocation, "host-1").invocation_status, invocation.status) == ("Failed", "Scheduled")
    assert not one.orders()
    assert len(two.orders()) == 1


def test_stop_between_two_runs_is_stopped_and_before_the_first_cancelled(plane, host, beat) -> None:
    """Nobody has to be asked, so it is over at once and fires no more."""
    one = host()
    fresh, used = schedule(plane), schedule(plane)
    due = next_time(plane, used)
    plane.dispatcher.stop_invocation(fresh.invoke_id)
    beat.at(due)
    run_through(plane, one)

    told = used.stop()
    beat.at(due + MINUTE)

    assert (row(fresh).invocation_status, row(used).invocation_status) == ("Cancelled", "Stopped")
    assert (fresh.status, used.status, told) == ("Stopped", "Stopped", {"host-1": "stopped"})
    assert not one.orders()
    assert not plane.dispatcher.describe_schedules().items


def test_stop_during_a_run_stops_the_run_too(plane, host, beat) -> None:
    """Stopping until the host confirms, then Terminated; the run's own row says the same."""
    one = host()
    invocation = schedule(plane)
    run_id = begin_run(plane, beat, one, invocation)

    told = invocation.stop()
    status = invocation.status
    (stop,) = one.stops()
    one.finish(stop.invocation_id, "Terminated")
    plane.settle()

    assert (told, status, stop.invocation_id) == ({"host-1": "stopping"}, "Stopping", run_id)
    assert row(invocation).invocation_status == "Terminated"
    assert plane.dispatcher.invocation_status(run_id) == "Stopped"


def test_stop_reaches_the_run_when_the_caller_died_in_between(plane, host, beat, monkeypatch) -> None:
    """A schedule that is Stopping has its runs stopped by the reaper, whoever asked for it."""
    one = host()
    invocation = schedule(plane)
    run_id = begin_run(plane, beat, one, invocation)
    monkeypatch.setattr("fleethand_dispatcher.stopping.Stopper.pass_on", lambda *_: None)
    invocation.stop()
    monkeypatch.undo()
    assert not one.stops()

    plane.store.client.zadd("fleethand:watch", {f"{invocation.invoke_id}|host-1": 1})
    plane.settle()

    assert [stop.invocation_id for stop in one.stops()] == [run_id]


def test_stop_of_one_instance_leaves_the_others(plane, host, beat) -> None:
    """A schedule goes on where it was not stopped."""
    one, two = host("host-1"), host("host-2")
    invocation = schedule(plane, instance_ids=["host-1", "host-2"])

    invocation.stop(["host-1"])
    beat.at(next_time(plane, invocation))

    assert (row(invocation, "host-1").invocation_status, row(invocation, "host-2").invocation_status) == (
        "Cancelled",
        "Scheduled",
    )
    assert (len(one.orders()), len(two.orders())) == (0, 1)


def test_stop_of_one_run_lets_the_schedule_go_on(plane, host, beat) -> None:
    """A run is an invocation: stopping it ends that one alone."""
    one = host()
    invocation = schedule(plane)
    run_id = begin_run(plane, beat, one, invocation)

    plane.dispatcher.stop_invocation(run_id)
    one.finish(run_id, "Terminated")
    plane.settle()
    beat.at(next_time(plane, invocation))

    assert invocation.status == "Scheduled"
    assert len(one.orders()) == 1


def test_run_is_aborted_for_a_host_that_is_offline_and_the_schedule_goes_on(plane, host, beat) -> None:
    """The run ends as Aborted with the usual window; the next one finds the host again."""
    one = host()
    invocation = schedule(plane)
    due = next_time(plane, invocation)
    plane.store.client.zadd("fleethand:seen", {"host-1": 1})
    beat.at(due)
    (run,) = invocation.runs()
    pass_time(plane.store, run.run_id, 120)
    plane.settle()

    aborted = row(invocation)
    one.beat()
    plane.settle()
    beat.at(due + MINUTE)

    assert (aborted.invocation_status, aborted.error_code) == ("Scheduled", "ClientNotOnline")
    assert plane.dispatcher.invocation_status(run.run_id) == "Failed"
    assert len(run_through(plane, one)) == 1
    assert (row(invocation).error_code, row(invocation).repeats) == ("", 1)


def test_run_waits_for_a_host_that_is_offline_with_deliver_within(plane, host, beat) -> None:
    """The order waits, and is sent when the host says hello."""
    one = host()
    invocation = schedule(plane, deliver_within_s=3600)
    plane.store.client.zadd("fleethand:seen", {"host-1": 1})
    beat.at(next_time(plane, invocation))
    before = one.orders()

    one.beat(hello=True)
    plane.settle()

    assert not before
    assert len(run_through(plane, one)) == 1
    assert row(invocation).repeats == 1


def test_late_word_of_a_host_replaces_what_was_presumed_of_its_last_run(plane, host, beat) -> None:
    """The truth wins in the schedule's row as it does in the run's, also when the schedule is over."""
    one = host()
    invocation = schedule(plane, max_runs=1)
    beat.at(next_time(plane, invocation))
    (order,) = one.orders()
    pass_time(plane.store, order.invocation_id, 120)
    plane.settle()
    presumed = (row(invocation).invocation_status, row(invocation).presumed)

    one.start(order.invocation_id)
    one.finish(order.invocation_id, exit_code=0)
    plane.settle()

    assert presumed == ("Failed", True)
    assert (invocation.status, row(invocation).presumed) == ("Success", False)


def test_late_end_of_a_run_alone_replaces_what_was_presumed(plane, host, beat) -> None:
    """A host that says nothing of the start and then how it ended is believed as well."""
    one = host()
    invocation = schedule(plane, max_runs=1)
    beat.at(next_time(plane, invocation))
    (order,) = one.orders()
    pass_time(plane.store, order.invocation_id, 120)
    plane.settle()

    one.finish(order.invocation_id, exit_code=0, output="late\n")
    plane.settle()

    assert (invocation.status, row(invocation).output, row(invocation).repeats) == ("Success", "late\n", 1)


def test_history_has_a_row_for_each_execution(plane, host, beat) -> None:
    """`include_history` pages through all runs, the newest first; without it there is the last one."""
    one = host()
    invocation = schedule(plane)
    ids = []
    for code in (1, 2, 3):
        beat.at(next_time(plane, invocation))
        ids += run_through(plane, one, output=f"{code}\n")

    first = plane.dispatcher.describe_invocation_results(invocation.invoke_id, include_history=True, max_results=2)
    rest = plane.dispatcher.describe_invocation_results(
        invocation.invoke_id, include_history=True, max_results=2, next_token=first.next_token
    )

    assert [result.invoke_id for result in [*first.items, *rest.items]] == ids[::-1]
    assert [result.output for result in [*first.items, *rest.items]] == ["3\n", "2\n", "1\n"]
    assert rest.next_token == ""
    assert [result.output for result in plane.dispatcher.iter_results(invocation.invoke_id)] == ["3\n"]


def test_history_goes_on_when_the_run_that_a_page_ended_with_is_gone(plane, host, beat) -> None:
    """Retention between two pages loses no row that is kept."""
    one = host()
    invocation = schedule(plane)
    ids = []
    for _ in range(4):
        beat.at(next_time(plane, invocation))
        ids += run_through(plane, one)
    ask = plane.dispatcher.describe_invocation_results
    first = ask(invocation.invoke_id, include_history=True, max_results=2)

    k = plane.store.client
    k.zrem(f"fleethand:inv:{invocation.invoke_id}:dues", first.items[-1].invoke_id)
    rest = ask(invocation.invoke_id, include_history=True, max_results=2, next_token=first.next_token)

    assert [result.invoke_id for result in rest.items] == ids[:2][::-1]


def test_runs_are_not_listed_as_invocations(plane, host, beat) -> None:
    """Who lists invocations sees the schedule, once; a run can be asked for by its id and names its schedule."""
    one = host()
    invocation = schedule(plane)
    beat.at(next_time(plane, invocation))
    (run_id,) = run_through(plane, one)

    listed = plane.dispatcher.describe_invocations().items
    of_host = plane.dispatcher.describe_invocations(instance_id="host-1").items

    assert [record.invoke_id for record in listed] == [record.invoke_id for record in of_host] == [invocation.invoke_id]
    assert not plane.dispatcher.describe_invocations(repeat_mode="Once").items
    assert (listed[0].repeat_mode, listed[0].frequency) == ("Period", EVERY_MINUTE)
    assert plane.dispatcher.describe_invocation(run_id).schedule_id == invocation.invoke_id


def test_retry_is_for_a_run(plane, host, beat) -> None:
    """A run can be run again, once and by itself; a schedule cannot."""
    one = host()
    invocation = schedule(plane)
    beat.at(next_time(plane, invocation))
    (run_id,) = run_through(plane, one, status="Failed", exit_code=1)

    with refused("InvalidOperation.RepeatModeUnsupported"):
        invocation.retry()
    again = plane.dispatcher.retry_invocation(run_id)

    assert (again.record().repeat_mode, again.record().schedule_id) == ("Once", "")
    assert len(one.orders()) == 1


def test_command_cannot_be_deleted_while_a_schedule_uses_it(plane, host) -> None:
    """A schedule is an unfinished invocation of its command."""
    host()
    command = plane.dispatcher.create_command(name="nightly", command_content="true", timeout_s=5)
    invocation = plane.dispatcher.invoke_command(command.command_id, instance_ids=["host-1"], frequency=EVERY_MINUTE)

    with refused("Operation.Forbidden"):
        plane.dispatcher.delete_command(command.command_id)
    invocation.stop()

    plane.dispatcher.delete_command(command.command_id)


def test_report_on_a_schedule_itself_is_set_aside(plane, host) -> None:
    """Hosts know runs only; what one says of the schedule changes nothing."""
    one = host()
    invocation = schedule(plane)

    one.finish(invocation.invoke_id)
    plane.settle()

    assert invocation.status == "Scheduled"
    assert len(plane.dispatcher.dead_reports()) == 1
