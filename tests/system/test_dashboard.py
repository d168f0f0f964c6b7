"""The dashboard as an operator sees it: Flower in a real browser, on real workers."""

import base64
import html
import json
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fleethand_dispatcher import Dispatcher
from fleethand_dispatcher.celery_app import make_app
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.settings import Settings
from processes import BIN, Program, Programs
from servers import Server, free_port
from waiting import wait_until

SECRET = "s3cr3t-4711"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=4000", "--dump-dom"),
)
SEEN_S = 40
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")


class Dashboard:
    """A running dashboard and ways to look at it."""

    def __init__(self, program: Program, port: int, login: str = "") -> None:
        self.program = program
        self.url = f"http://127.0.0.1:{port}"
        self._headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}

    def request(self, path: str, *, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
        """Return the status and the body of one answer."""
        request = urllib.request.Request(self.url + path, method=method, data=body, headers=self._headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def workers(self) -> dict[str, bool]:
        """Return each worker and whether it is online."""
        return {row["hostname"]: row["status"] for row in json.loads(self.request("/workers?json=1")[1])["data"]}

    def tasks(self) -> list[dict[str, Any]]:
        """Return the rows of the tasks page."""
        query = "draw=1&start=0&length=100&order[0][column]=0&columns[0][data]=received"
        rows: list[dict[str, Any]] = json.loads(self.request(f"/tasks/datatable?{query}")[1])["data"]
        return rows

    def task(self, name: str) -> dict[str, Any]:
        """Return the task with this name, or an empty row."""
        return next((row for row in self.tasks() if row["name"] == name), {})

    def page(self, path: str) -> str:
        """Return the text that a browser shows, after its scripts ran."""
        assert BROWSER is not None
        with tempfile.TemporaryDirectory(prefix="fleethand-browser-") as profile:
            command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", self.url + path]
            shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        body = re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", shown)
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<wbr>|</?mark[^>]*>|<[^>]+>", " ", body)))


StartDashboard = Callable[..., Dashboard]


@pytest.fixture
def start_dashboard(programs: Programs) -> StartDashboard:
    """Start `fleethand dashboard` on a server."""

    def start(url: str, *flags: str, environ: Mapping[str, str] | None = None, login: str = "") -> Dashboard:
        port = free_port()
        argv = (BIN / "fleethand", "dashboard", "--port", str(port), *flags)
        program = programs.start(*argv, name="dashboard", environ={"FLEETHAND_REDIS_URL": url, **(environ or {})})
        program.wait_for_output("Connected to")
        return Dashboard(program, port, login)

    return start


@pytest.fixture
def dispatcher(redis_url: str, keyring: Keyring) -> Iterator[Dispatcher]:
    """The Python API."""
    with Dispatcher(redis_url, keyring=keyring) as dispatcher:
        yield dispatcher


def send(redis_url: str, *events: tuple[str, dict[str, object]]) -> None:
    """Send Celery events as a host does that is not ours."""
    app = make_app(Settings(redis_url=redis_url))
    app.conf.event_exchange = "celeryev/stranger"
    with app.connection_for_write() as connection:
        sender = app.events.Dispatcher(connection, hostname="stranger@fleet")
        for kind, fields in events:
            sender.send(kind, **fields)


def all_pages(dashboard: Dashboard) -> str:
    """Return everything that the dashboard would show to somebody who looks for secrets."""
    paths = ["/workers?json=1", "/workers", "/tasks", "/broker", "/api/tasks", "/api/workers"]
    paths += [f"/task/{row['uuid']}" for row in dashboard.tasks()]
    return "".join([dashboard.request(path)[1] for path in paths] + [json.dumps(dashboard.tasks())])


@needs_browser
def test_browser_shows_hosts_commands_states_and_no_secret(
    start_dashboard: StartDashboard,
    worker_process: Callable[..., Program],
    control_plane: Callable[..., Program],
    dispatcher: Dispatcher,
    redis_url: str,
) -> None:
    """Each host is a worker, each execution a task with the command's name, its ids, its time and its end."""
    dashboard = start_dashboard(redis_url)
    control_plane()
    for name in ("host-1", "host-2"):
        worker_process(name, heartbeat_interval_s=1)
    wait_until(lambda: len(dispatcher.describe_instances(online=True).items) == 2, 20, "both hosts")

    good = dispatcher.run_command(
        name="say-hello",
        command_content="echo {{word}} out-" + SECRET,
        enable_parameter=True,
        parameters={"word": SECRET},
        all_instances=True,
    )
    bad = dispatcher.run_command(name="fail-loudly", command_content=f"echo {SECRET}; exit 3", instance_ids=["host-1"])
    good.wait(20)
    bad.wait(20)
    wait_until(lambda: dashboard.task("fail-loudly").get("state") == "FAILURE", SEEN_S, "the failed task")
    wait_until(lambda: len(dashboard.tasks()) == 3, SEEN_S, "all three tasks")

    workers = dashboard.page("/workers")
    tasks = dashboard.page("/tasks").replace(" ", "")
    good_task, bad_task = dashboard.task("say-hello"), dashboard.task("fail-loudly")
    assert [True, True] == list(dashboard.workers().values())
    assert 2 == workers.count("Online") - workers.count("Online workers")
    for text in ("say-hello", "fail-loudly", "SUCCESS", "FAILURE", good.invoke_id, bad.invoke_id, "host-1", "host-2"):
        assert text in tasks, tasks
    assert good_task["runtime"] > 0
    assert bad_task["runtime"] > 0
    assert "Failed: exit code 3" == bad_task["exception"]
    assert f"{{'invocation': '{bad.invoke_id}', 'instance': 'host-1'}}" == bad_task["kwargs"]
    assert SECRET not in workers + tasks + all_pages(dashboard)


def test_dashboard_is_right_again_after_a_worker_and_the_server_were_killed(
    start_dashboard: StartDashboard,
    worker_process: Callable[..., Program],
    control_plane: Callable[..., Program],
    own_server: Server,
    keyring: Keyring,
) -> None:
    """Neither restart needs one of the dashboard."""
    url = own_server.url
    dashboard = start_dashboard(url)
    control_plane(redis_url=url)
    options = {"redis_url": url, "heartbeat_interval_s": 1, "reconnect_jitter_s": 0}
    worker = worker_process("host-1", **options)
    with Dispatcher(url, keyring=keyring) as dispatcher:
        wait_until(lambda: dispatcher.describe_instances(online=True).items, 20, "the host")

        def shown(name: str) -> None:
            dispatcher.run_command(name=name, command_content="echo hello", all_instances=True).wait(30)
            wait_until(lambda: dashboard.task(name).get("state") == "SUCCESS", SEEN_S, f"the task {name}")
            wait_until(lambda: list(dashboard.workers().values()) == [True], SEEN_S, "one worker online")

        shown("before")
        worker.kill()
        worker_process("host-1", **options)
        shown("after-the-worker")
        own_server.kill()
        dashboard.program.wait_for_output("cannot receive events")
        own_server.start()
        wait_until(
            lambda: dashboard.program.output().count("Connected to") == 2, SEEN_S, "the dashboard's new connection"
        )
        shown("after-the-server")
    assert {"before", "after-the-worker", "after-the-server"} == {row["name"] for row in dashboard.tasks()}


def test_dashboard_shows_no_secret_even_of_a_host_that_is_not_ours(
    start_dashboard: StartDashboard, redis_url: str
) -> None:
    """The second wall: what arrives with more than names and ids loses it."""
    dashboard = start_dashboard(
        redis_url, environ={"FLEETHAND_DASHBOARD_USER": "a", "FLEETHAND_DASHBOARD_PASSWORD": "b"}, login="a:b"
    )
    leaks = {"args": SECRET, "kwargs": f"{{'content': '{SECRET}'}}", "result": SECRET, "traceback": SECRET}
    send(
        redis_url,
        ("worker-online", {"freq": 60, "note": SECRET}),
        ("task-received", {"uuid": "t-1.host", "name": "leak", **leaks}),
        ("task-failed", {"uuid": "t-1.host", "exception": f"a line of output: {SECRET}", **leaks}),
        ("task-received", {"uuid": {"no": "id"}, "name": "nonsense"}),
        ("task-received", {"uuid": "t-2.host", "name": "last"}),
    )

    wait_until(lambda: dashboard.task("last"), SEEN_S, "the last event")

    assert "FAILURE" == dashboard.task("leak")["state"]
    assert SECRET not in all_pages(dashboard)


def test_dashboard_asks_the_fleet_nothing(
    start_dashboard: StartDashboard, server: Server, redis_url: str, worker_process: Callable[..., Program]
) -> None:
    """No broadcast at its start, none on a refresh, none when a worker's page is opened."""
    with server.client() as client, client.monitor() as monitor:
        dashboard = start_dashboard(redis_url)
        for path in ("/workers?refresh=1", "/worker/host-1@fleethand", "/tasks", "/broker"):
            assert 200 == dashboard.request(path)[0]
        client.echo("the end")
        said = []
        while "the end" not in (command := monitor.next_command()["command"]):
            said.append(command)

    assert not [command for command in said if command.startswith("PUBLISH") or "pidbox" in command]


def test_dashboard_changes_nothing_and_hides_what_has_no_login(start_dashboard: StartDashboard, redis_url: str) -> None:
    """With a login every page asks for it, and its buttons do nothing."""
    environ = {"FLEETHAND_DASHBOARD_USER": "ops", "FLEETHAND_DASHBOARD_PASSWORD": "right"}
    inside = start_dashboard(redis_url, "--address", "0.0.0.0", environ=environ, login="ops:right")
    outside = Dashboard(inside.program, int(inside.url.rsplit(":", 1)[1]))

    pages = ("/", "/workers", "/tasks", "/task/x", "/broker", "/worker/x", "/api/workers", "/api/tasks")
    assert {401} == {outside.request(path)[0] for path in pages}
    assert {404} == {outside.request("/metrics")[0], inside.request("/metrics")[0]}
    assert 200 == inside.request("/tasks")[0]
    for path in ("/api/task/send-task/fleethand.execute", "/api/worker/shutdown/host-1", "/api/task/revoke/t-1"):
        assert 403 == inside.request(path, method="POST", body=b"{}")[0]


@pytest.mark.parametrize(
    ("flags", "says"), [(("--address", "0.0.0.0"), "FLEETHAND_DASHBOARD_PASSWORD"), (("--user", "a"), "half")]
)
def test_dashboard_does_not_start_open_to_a_network(
    programs: Programs, redis_url: str, flags: tuple[str, ...], says: str
) -> None:
    """The error names what to set."""
    program = programs.start(BIN / "fleethand", "dashboard", *flags, environ={"FLEETHAND_REDIS_URL": redis_url})

    assert 1 == program.wait()
    assert says in program.output()
    assert "Traceback" not in program.output()


def test_dashboard_says_so_when_its_port_is_taken(
    start_dashboard: StartDashboard, programs: Programs, redis_url: str
) -> None:
    """No trace, one line."""
    first = start_dashboard(redis_url)
    port = first.url.rsplit(":", 1)[1]
    second = programs.start(BIN / "fleethand", "dashboard", "--port", port, environ={"FLEETHAND_REDIS_URL": redis_url})

    assert 1 == second.wait()
    assert f"cannot start the dashboard on 127.0.0.1:{port}" in second.output()
    assert "Traceback" not in second.output()


def test_celerys_own_tools_work_on_the_app(programs: Programs, redis_url: str) -> None:
    """`celery -A fleethand_dispatcher.celery_app report` names the server, without its password."""
    url = redis_url.replace("redis://", f"redis://:{SECRET}@", 1)
    report = programs.start(
        BIN / "celery",
        *("-A", "fleethand_dispatcher.celery_app", "report"),
        environ={"FLEETHAND_REDIS_URL": url},
    )

    assert 0 == report.wait()
    assert "transport:redis" in report.output()
    assert SECRET not in report.output()


def test_stock_flower_and_events_work_on_the_app(programs: Programs, redis_url: str, tmp_path: Path) -> None:
    """Who prefers Celery's own commands can have them."""
    port = free_port()
    environ = {"FLEETHAND_REDIS_URL": redis_url}
    app = ("-A", "fleethand_dispatcher.celery_app")
    flower = programs.start(BIN / "celery", *app, "flower", f"--port={port}", "--address=127.0.0.1", environ=environ)
    dump = programs.start(BIN / "celery", *app, "events", "--dump", environ=environ)
    flower.wait_for_output("Connected to", 30)
    dump.wait_for_output("evdump", 30)

    def seen() -> bool:
        send(redis_url, ("worker-heartbeat", {"freq": 60}))
        return "stranger@fleet" in dump.output()

    wait_until(seen, 20, "the event")

    def shown() -> bool:
        send(redis_url, ("worker-heartbeat", {"freq": 60}))
        return "stranger@fleet" in Dashboard(flower, port).workers()

    wait_until(shown, 20, "the worker in Flower")
