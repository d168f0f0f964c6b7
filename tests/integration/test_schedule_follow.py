"""Following a schedule: each of its runs, live and whole."""

from beat import next_time, run_through, schedule


def test_follow_tells_every_run_with_its_output(plane, host, beat) -> None:
    """Each run's output is told with that run, and not the last one's over and over."""
    one = host()
    invocation = schedule(plane, max_runs=2)
    ids = []
    for text in ("first\n", "second\n"):
        beat.at(next_time(plane, invocation))
        ids += run_through(plane, one, output=text)

    events = list(invocation.follow(5))

    assert [(e.run_id, e.data) for e in events if e.kind == "output"] == [(ids[0], "first\n"), (ids[1], "second\n")]
    assert [e.status for e in events if e.kind == "status"] == ["Running", "Scheduled", "Running", "Success"]


def test_follow_tells_what_a_run_prints_while_it_runs(plane, host, beat) -> None:
    """Each piece as it comes, host by host, and at the end the rest: nothing twice, also when a host begins late."""
    one, two = host("host-1"), host("host-2")
    invocation = schedule(plane, instance_ids=["host-1", "host-2"], max_runs=1)
    events = invocation.follow(5)
    beat.at(next_time(plane, invocation))
    run_id = one.orders()[0].invocation_id
    two.orders()

    def told() -> tuple[str, str, str, str]:
        plane.settle()
        event = next(events)
        return event.instance_id, event.run_id, event.status, event.data

    one.start(run_id)
    assert told() == ("host-1", run_id, "Running", "")
    one.say(run_id, "a\n", 0)
    assert told() == ("host-1", run_id, "Running", "a\n")
    two.start(run_id)
    two.say(run_id, "b\n", 0)
    assert {told(), told()} == {("host-2", run_id, "Running", ""), ("host-2", run_id, "Running", "b\n")}
    one.finish(run_id, output="a\nand the rest\n")
    assert told()[3] == "and the rest\n"
    assert told() == ("host-1", run_id, "Success", "")
    two.say(run_id, "c\n", 2)
    assert told() == ("host-2", run_id, "Running", "c\n")
    two.finish(run_id, output="b\nc\n")
    assert told() == ("host-2", run_id, "Success", "")
    assert list(events) == []


def test_follow_tells_a_run_again_when_live_pieces_got_lost(plane, host, beat) -> None:
    """A gap is never passed over in silence."""
    one = host()
    invocation = schedule(plane, max_runs=1)
    events = invocation.follow(5)
    beat.at(next_time(plane, invocation))
    run_id = one.orders()[0].invocation_id
    one.start(run_id)
    plane.settle()
    next(events)
    one.say(run_id, "three\n", 8)
    plane.settle()
    assert next(events).data == "three\n"
    one.finish(run_id, output="one\ntwo\nthree\n")
    plane.settle()

    last = next(events)

    assert (last.data, last.again, last.run_id) == ("one\ntwo\nthree\n", True, run_id)
