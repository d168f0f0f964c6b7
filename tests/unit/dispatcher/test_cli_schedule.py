"""`fleethand schedule`, and the options of `run` and `invoke` that make a schedule."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fake_dispatcher import AT, COMMAND_ID, INVOKE_ID, FakeDispatcher, cli, result
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.models import Schedule, ScheduledRun, UpcomingRun

RUN_ID = f"{INVOKE_ID}.1769903999000"


def a_run(outcome: str = "fired", **fields: Any) -> ScheduledRun:
    """Return a row of the list of runs."""
    values = {
        "run_id": RUN_ID, "due_time": AT, "time_zone": "", "fired_time": AT, "outcome": outcome, "reason": "",
        "invocation_status": "Success", "instance_count": 2, "skipped_count": 0, "counts": {"Success": 2}, **fields,
    }  # fmt: skip
    return ScheduledRun(**values)


def a_schedule(**fields: Any) -> Schedule:
    """Return a schedule that lives."""
    values = {
        "invoke_id": INVOKE_ID, "command_id": COMMAND_ID, "command_name": "nightly", "command_content": "true",
        "frequency": "rate(5m)", "time_zone": "UTC", "invocation_status": "Scheduled", "counts": {"Scheduled": 2},
        "instance_count": 2, "creation_time": AT, "next_time": AT, "paused_time": None, "runs": 7, "last_run": a_run(),
        "tags": {}, "names": (), "all_instances": False, "overlap": "skip", "misfire": "skip", "jitter_s": 0,
        "start_time": None, "end_time": None, "max_runs": None, "blackout": (), "stop_on_failure": False, "version": 1,
        **fields,
    }  # fmt: skip
    return Schedule(**values)


@pytest.fixture
def fake() -> FakeDispatcher:
    """A dispatcher with one schedule and two runs to come."""
    made = FakeDispatcher([result("web-1", "Scheduled")])
    made.schedules = [a_schedule()]
    made.scheduled_runs = [a_run("skipped", reason="busy", instance_count=0, counts={}, skipped_count=2), a_run()]
    made.upcoming = [
        UpcomingRun(
            due_time=datetime(2027, 1, 1, 8, tzinfo=UTC),
            schedule_zone="Europe/Berlin",
            time_zones=("Asia/Tokyo",),
            held_by="MON 09:00-17:00",
        )
    ]
    return made


@pytest.mark.parametrize(
    ("words", "frequency"),
    [
        (("--rate", "5m"), "rate(5m)"),
        (("--rate", "Rate (5m)"), "Rate (5m)"),
        (("--at", "at(2027-01-01 09:00:00)"), "at(2027-01-01 09:00:00)"),
        (("--at", "2027-01-01 09:00:00 Asia/Shanghai"), "at(2027-01-01 09:00:00 Asia/Shanghai)"),
        (("--cron", "0 0 9 ? * MON"), "0 0 9 ? * MON"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "invoke"])
def test_run_and_invoke_make_a_schedule_and_do_not_wait(
    fake: FakeDispatcher, verb: str, words: tuple[str, ...], frequency: str
) -> None:
    """The id goes to stdout, the next runs to stderr."""
    command = (COMMAND_ID,) if verb == "invoke" else ()
    script = ("--", "true") if verb == "run" else ()

    ran = cli(fake, verb, *command, "--all", *words, *script)

    assert (ran.exit_code, ran.stdout) == (0, f"{INVOKE_ID}\n")
    assert ran.stderr == "next: Fri 2027-01-01 09:00:00 Europe/Berlin, held back: MON 09:00-17:00\n"
    assert fake.arguments(f"{verb}_command")["frequency"] == frequency
    assert "wait" not in [name for name, _ in fake.calls]


def test_policy_options_reach_the_dispatcher(fake: FakeDispatcher) -> None:
    """Each in the API's own unit; a time without a zone is this machine's."""
    ran = cli(
        fake, "run", "--all", "--rate", "1h", "--overlap", "queue", "--misfire", "latest", "--jitter", "5m",
        "--start-at", "2027-01-01T09:00Z", "--end-at", "2027-02-01T09:00", "--max-runs", "3",
        "--blackout", "MON 09:00-17:00", "--blackout", "TUE 09:00-17:00", "--stop-on-failure", "--json", "--", "true",
    )  # fmt: skip

    given = fake.arguments("run_command")
    assert json.loads(ran.stdout)["invocation_status"] == "Scheduled"
    assert (given["overlap"], given["misfire"], given["jitter_s"], given["max_runs"]) == ("queue", "latest", 300, 3)
    assert given["start_at"] == datetime(2027, 1, 1, 9, tzinfo=UTC)
    assert given["end_at"] == datetime(2027, 2, 1, 9).astimezone()
    assert (given["blackout"], given["stop_on_failure"]) == (("MON 09:00-17:00", "TUE 09:00-17:00"), True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rate", "5m", "--cron", "x"), "give one of --rate, --at and --cron"),
        (("--rate", "5m", "--cron", ""), "give one of --rate, --at and --cron"),
        (("--rate", ""), "--rate is empty"),
        (("--at", " "), "--at is empty"),
        (("--cron", ""), "--cron is empty"),
        (("--cron", "", "--json"), "--cron is empty"),
        (("--cron", "", "--max-runs", "3"), "--cron is empty"),
        (("--max-runs", "3"), "--max-runs is for a schedule"),
        (("--jitter", "3s"), "--jitter is for a schedule"),
        (("--rate", "5m", "--start-at", "soon"), "'soon' is no time"),
    ],
)
def test_options_that_do_not_fit_are_refused(fake: FakeDispatcher, words: tuple[str, ...], said: str) -> None:
    """Before anything is asked of the server; an empty `--cron "$UNSET"` must not let the command run at once."""
    ran = cli(fake, "run", "--all", *words, "--", "true")

    assert (ran.exit_code, said in ran.output, fake.calls) == (2, True, [])


def test_command_without_a_schedule_has_no_word_of_one(fake: FakeDispatcher) -> None:
    """What runs at once is asked for as before."""
    cli(fake, "run", "--all", "--detach", "--", "true")

    assert not {"frequency", "overlap", "blackout"} & set(fake.arguments("run_command"))


def test_list_shows_when_each_runs_next(fake: FakeDispatcher) -> None:
    """One line for each; a paused one is called so."""
    fake.schedules.append(a_schedule(paused_time=AT, last_run=None, command_name=""))

    lines = cli(fake, "schedule", "list").stdout.splitlines()

    when = "2026-01-31T23:59:59Z"
    assert lines[0].split("\t") == [INVOKE_ID, "Scheduled", "rate(5m)", when, "7", "fired", "nightly"]
    assert lines[1].split("\t") == [INVOKE_ID, "paused", "rate(5m)", when, "7", "", "true"]
    assert json.loads(cli(fake, "schedule", "list", "--json").stdout)[0]["next_time"] == when


def test_show_tells_why_a_run_did_not_take_place(fake: FakeDispatcher) -> None:
    """The reason stands in the row."""
    shown = cli(fake, "schedule", "show", "last", "--runs", "2")

    assert "2026-01-31T23:59:59Z\tskipped\t2 skipped\t\tbusy" in shown.stdout
    assert f"2026-01-31T23:59:59Z\tfired\t2 Success\t{RUN_ID}\t" in shown.stdout
    assert fake.arguments("describe_schedule_runs") == {"invoke_id": INVOKE_ID, "max_results": 2}
    assert json.loads(cli(fake, "schedule", "show", "last", "--json").stdout)["latest_runs"][0]["reason"] == "busy"


def test_show_works_when_the_schedule_is_over(fake: FakeDispatcher) -> None:
    """Then the invocation tells what it was, and its runs are still listed."""
    fake.schedules = []

    shown = cli(fake, "schedule", "show", "last")

    assert (shown.exit_code, "fired" in shown.stdout) == (0, True)
    assert "{" not in shown.stdout


def test_show_is_in_words_and_leaves_out_what_is_empty(fake: FakeDispatcher) -> None:
    """No brackets of Python; a run that is for the hosts of one time zone says so beside its time."""
    fake.schedules = [a_schedule(tags={"env": "prod"}, blackout=("MON 09:00-17:00", "TUE 09:00-17:00"))]
    fake.scheduled_runs = [a_run(time_zone="Asia/Tokyo")]

    lines = [" ".join(line.split()) for line in cli(fake, "schedule", "show", "last").stdout.splitlines()]

    assert {"tags env=prod", "blackout MON 09:00-17:00, TUE 09:00-17:00", "counts 2 Scheduled"} <= set(lines)
    assert not [line for line in lines if line.startswith("names") or "[" in line or "{" in line]
    assert lines[-1].startswith("2026-01-31T23:59:59Z for Asia/Tokyo fired")


def test_preview_shows_each_run_in_three_zones(fake: FakeDispatcher) -> None:
    """The schedule's, the hosts', the viewer's; and the window that holds it back."""
    shown = cli(fake, "schedule", "preview", "--cron", "0 0 9 * * ?", "--my-zone", "America/New_York", "--count", "1")

    assert shown.stdout.rstrip("\n").split("\t") == [
        "Fri 2027-01-01 09:00:00 Europe/Berlin",
        "Fri 2027-01-01 17:00:00 Asia/Tokyo",
        "Fri 2027-01-01 03:00:00 America/New_York",
        "held: MON 09:00-17:00",
    ]
    assert fake.arguments("preview_schedule")["frequency"] == "0 0 9 * * ?"


def test_preview_needs_a_schedule_or_a_frequency(fake: FakeDispatcher) -> None:
    """One of them, not both; windows are for a frequency, as a schedule has its own."""
    assert cli(fake, "schedule", "preview").exit_code == 2
    assert cli(fake, "schedule", "preview", "last", "--rate", "5m").exit_code == 2
    assert cli(fake, "schedule", "preview", "--cron", "").exit_code == 2
    assert "has its own" in cli(fake, "schedule", "preview", "last", "--blackout", "MON 09:00-17:00").output


def test_preview_shows_the_first_three_zones_of_many(fake: FakeDispatcher) -> None:
    """And how many there are beside them."""
    zones = ("Asia/Tokyo", "Europe/Berlin", "UTC", "Asia/Kathmandu", "America/New_York")
    for count, said in ((3, "UTC"), (4, "and 1 more zone"), (5, "and 2 more zones")):
        fake.upcoming = [
            UpcomingRun(due_time=AT, schedule_zone="UTC", time_zones=zones[:count], held_by=""),
        ]

        assert cli(fake, "schedule", "preview", "--rate", "5m").stdout.split("\t")[1].endswith(said)


def test_preview_of_a_paused_schedule_says_so(fake: FakeDispatcher) -> None:
    """Beside the data, as none of it happens."""
    fake.schedules = [a_schedule(paused_time=AT)]

    shown = cli(fake, "schedule", "preview", "last")

    assert shown.stderr == f"Paused: nothing fires until 'fleethand schedule resume {INVOKE_ID}'.\n"
    assert "Paused" not in cli(fake, "schedule", "preview", "last", "--json").output


def test_pause_resume_and_stop_reach_the_dispatcher(fake: FakeDispatcher) -> None:
    """Each with the whole id."""
    for verb in ("pause", "resume", "stop"):
        assert cli(fake, "schedule", verb, "last").exit_code == 0

    called = [name for name, _ in fake.calls]
    assert [name for name in called if name != "resolve_invocation"] == [
        "pause_schedule",
        "resume_schedule",
        "preview_schedule",
        "stop_invocation",
    ]


def test_modify_passes_on_what_is_to_be_other_and_says_what_is(fake: FakeDispatcher) -> None:
    """The new script, values and hosts go in one call, and the answer is what the schedule is then."""
    fake.modified = a_schedule(frequency="rate(7m)", command_id="c-new", instance_count=3, version=2)

    options = ("--rate", "7m", "-p", "who=me", "--add-instance", "a,b", "--add-instance", "a")

    ran = cli(fake, "schedule", "modify", "last", *options, "--", "echo", "it's me")

    assert fake.arguments("modify_invocation_attribute") == {
        "invoke_id": INVOKE_ID,
        "frequency": "rate(7m)",
        "parameters": {"who": "me"},
        "enable_parameter": True,
        "instance_ids": ("a", "b"),
        "command_content": """echo 'it'"'"'s me'""",
        "client_token": None,
    }
    assert "its frequency is rate(7m) instead of rate(5m); its command is c-new instead of" in ran.stderr
    assert "1 host more; it has other values. A run under way is not disturbed." in ran.stderr
    assert "held: MON 09:00-17:00" in ran.stdout


def test_modify_says_when_the_schedule_is_so_already(fake: FakeDispatcher) -> None:
    """A second call with the same words is no error and no change."""
    fake.modified = fake.schedules[0]

    ran = cli(fake, "schedule", "modify", "last", "--rate", "5m")

    assert (ran.exit_code, ran.stderr) == (0, f"{INVOKE_ID} is so already; nothing was changed.\n")


def test_modify_as_json_is_the_schedule(fake: FakeDispatcher) -> None:
    """One object, and nothing else on stdout."""
    fake.modified = a_schedule(frequency="rate(7m)", version=2)

    assert (
        json.loads(cli(fake, "schedule", "modify", "last", "--rate", "7m", "--json").stdout)["frequency"] == "rate(7m)"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what is to be other"),
        (("--rate", "5m", "--cron", "x"), "give one of --rate, --at and --cron"),
        (("--file", "/none", "--", "true"), "not both"),
        (("--parameter", "x"), "write it as key=value"),
    ],
)
def test_modify_that_says_nothing_clear_is_refused(fake: FakeDispatcher, words: tuple[str, ...], said: str) -> None:
    """Before anything is asked of the server but which schedule is meant."""
    ran = cli(fake, "schedule", "modify", "last", *words)

    assert (ran.exit_code, said in ran.stderr) == (2, True)
    assert not [name for name, _ in fake.calls if name == "modify_invocation_attribute"]


def test_schedule_that_was_altered_is_shown_as_such(fake: FakeDispatcher) -> None:
    """It does not fire, so the list and the page must not look as if it did."""
    fake.schedules = [a_schedule(authentic=False)]

    listed, shown = cli(fake, "schedule", "list"), cli(fake, "schedule", "show", INVOKE_ID)

    assert "altered" in listed.stdout
    assert "altered in Redis: it does not fire" in shown.stderr


def test_schedule_is_made_by_whoever_may_not_see_its_next_runs(fake: FakeDispatcher, monkeypatch) -> None:
    """The id is printed all the same."""

    def denied(**_: object) -> None:
        raise refusal("Forbidden.RAM", "no")

    monkeypatch.setattr(fake, "preview_schedule", denied)

    ran = cli(fake, "run", "--all", "--rate", "5m", "--", "true")

    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, f"{INVOKE_ID}\n", "")


@pytest.mark.parametrize("words", [("list",), ("show", INVOKE_ID)])
def test_schedule_that_should_have_fired_is_told_beside_the_answer(
    fake: FakeDispatcher, words: tuple[str, ...]
) -> None:
    """A time that is past and looks like a time to come would be a lie."""
    fake.schedules = [a_schedule(late_s=300)]

    found = cli(fake, "schedule", *words)

    assert f"{INVOKE_ID} should have fired 300 s ago: no beat works, or the fleet is frozen" in found.stderr
    assert "should have fired" not in found.stdout
    fake.schedules = [a_schedule(late_s=3)]
    assert not cli(fake, "schedule", *words).stderr
