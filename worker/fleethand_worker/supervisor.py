"""One process per execution: starts the script, keeps its output, ends it in time, writes the result down.

It is forked from the worker and needs it no more: whatever becomes of the worker, the outcome ends up in the journal.
It must not return into the worker's code, nor touch its sockets. When it is done, it may be given another execution.
"""

import functools
import gc
import os
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from fleethand_common.clock import Clock, elapsed_s
from fleethand_common.errors import ExecutionError
from fleethand_common.instance_errors import INSTANCE_ERRORS, InstanceErrorCode
from fleethand_common.messages import ExecutionOrder, Finished
from fleethand_common.states import InstanceStatus
from fleethand_worker import linux
from fleethand_worker.accounts import Account, find_account
from fleethand_worker.journal import Entry, State
from fleethand_worker.scripts import Script, choose_folder, make_environment, make_script
from fleethand_worker.supervision import Ending, Supervision

EXECUTIONS_MAX = 200
"""After this many a fresh process takes over, whatever may have gathered in this one."""
_COLLECT_EVERY = 16
_REQUEST_BYTES = 8192

STARTED, FINISHED = b"S", b"F"
"""What a supervisor tells its worker through the pipe between them; its end means that the supervisor is gone."""

_IGNORED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR2", "SIGTSTP", "SIGPIPE", "SIGALRM")
_ENDINGS: dict[Ending, tuple[InstanceStatus, InstanceErrorCode | None]] = {
    Ending.TIMEOUT: (InstanceStatus.TIMEOUT, InstanceErrorCode.EXECUTION_TIMEOUT),
    Ending.STOPPED: (InstanceStatus.TERMINATED, None),
    Ending.INTERRUPTED: (InstanceStatus.ERROR, InstanceErrorCode.EXECUTION_INTERRUPTED),
}


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a supervisor is to do, and for whom."""

    entry: Entry
    order: ExecutionOrder
    instance_id: str
    instance_name: str
    boot_id: str
    clock: Clock


class _Request(msgspec.Struct, frozen=True):
    """What the journal does not hold of an assignment, as it is handed to a supervisor that waits."""

    path: str
    instance_id: str
    instance_name: str
    boot_id: str
    now_ms: int
    at_s: float


def request(assignment: Assignment) -> bytes:
    """Return the message that hands an assignment over; its lock and its pipe travel with it."""
    return msgspec.json.encode(
        _Request(
            path=str(assignment.entry.path),
            instance_id=assignment.instance_id,
            instance_name=assignment.instance_name,
            boot_id=assignment.boot_id,
            now_ms=assignment.clock.now_ms(),
            at_s=elapsed_s(),
        )
    )


def serve(assignment: Assignment, lock: int, writer: int, link: socket.socket | None, linger_s: float) -> NoReturn:
    """Do a supervisor's work in a process that was just forked, then what comes by *link*; end it, whatever happens.

    Args:
        linger_s: how long to wait for more work.
    """
    code = 1
    try:
        gc.disable()  # a collection would copy every page that the worker and this process share
        _detach((lock, writer) if link is None else (lock, writer, link.fileno()))
        for served in range(EXECUTIONS_MAX):
            _supervise(assignment, writer)
            os.close(writer)
            os.close(lock)
            if link is None or _has_children():
                break
            if served % _COLLECT_EVERY == 0:
                gc.collect()
            if (received := _receive(link, linger_s)) is None:
                break
            data, (lock, writer) = received
            assignment = _assignment(data)
        code = 0
    finally:
        os._exit(code)


@functools.cache
def _own_start_time() -> str:
    """Return when this process was started; asked in a supervisor only, never before the fork."""
    return linux.start_time(os.getpid())


def _has_children() -> bool:
    """Tell whether the script left something running: that belongs to it, and must never be ended with another."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _receive(link: socket.socket, linger_s: float) -> tuple[bytes, list[int]] | None:
    """Wait for the next assignment; None when there is none for a while, or no worker any more."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, _do_nothing)  # a stop of what has just ended
    link.settimeout(linger_s)
    try:
        data, descriptors, _, _ = socket.recv_fds(link, _REQUEST_BYTES, 2)
    except TimeoutError:
        # From here on the worker cannot send any more; what it sent a moment ago is still taken.
        link.shutdown(socket.SHUT_RD)
        data, descriptors, _, _ = socket.recv_fds(link, _REQUEST_BYTES, 2)
    return (data, descriptors) if data else None


def _assignment(data: bytes) -> Assignment:
    handed = msgspec.json.decode(data, type=_Request)
    entry = Entry(Path(handed.path))
    journaled = entry.journaled()
    if journaled is None:
        raise OSError("the order is not in the journal")
    clock = Clock()
    clock.set(handed.now_ms + (elapsed_s() - handed.at_s) * 1000)
    return Assignment(
        entry=entry,
        order=journaled.order,
        instance_id=handed.instance_id,
        instance_name=handed.instance_name,
        boot_id=handed.boot_id,
        clock=clock,
    )


def _detach(kept: tuple[int, ...]) -> None:
    """Leave the worker's session, close what is its own, and take signals as a supervisor does."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    lowest = 3
    for descriptor in sorted(kept):
        os.closerange(lowest, descriptor)
        lowest = descriptor + 1
    os.closerange(lowest, os.sysconf("SC_OPEN_MAX"))
    signal.set_wakeup_fd(-1)
    # A handler, not SIG_IGN: the script would inherit that one.
    for name in _IGNORED:
        signal.signal(getattr(signal, name), _do_nothing)
    linux.become_subreaper()


def _do_nothing(_number: int, _frame: object) -> None:
    pass


def _supervise(assignment: Assignment, writer: int) -> None:
    run = _Run(assignment)
    try:
        finished = run.finish(writer)
    except ExecutionError as error:
        finished = run.failed(error.code, error.message)
    except Exception as error:  # noqa: BLE001 - whatever it was, the host has to answer
        finished = run.failed(InstanceErrorCode.EXECUTION_EXCEPTION, f"cannot run the command: {_reason(error)}")
    assignment.entry.write_result(finished)
    with suppress(OSError):
        os.write(writer, FINISHED)
    run.close()
    assignment.entry.sync_result()


def _reason(error: BaseException) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__


class _Run:
    """The run of one script, from its order to its last report."""

    def __init__(self, assignment: Assignment) -> None:
        self._to = assignment
        self._order = assignment.order
        self._began_s = elapsed_s()
        self._began_ms = assignment.clock.now_ms()
        self._started = False
        self._supervision: Supervision | None = None

    def finish(self, writer: int) -> Finished:
        """Run the script to its end and return what is to be reported."""
        if self._began_ms > self._order.deliver_before_ms:  # this process was frozen since it was given the order
            raise ExecutionError(InstanceErrorCode.DELIVERY_TIMEOUT)
        self._supervision = supervision = Supervision(
            timeout_s=self._order.timeout_s,
            grace_s=self._order.stop_grace_s,
            mode=self._order.termination_mode,
            output_limit=self._order.output_limit_bytes,
            live_path=self._to.entry.path / "live",
        )
        self._to.entry.write_state(
            State(
                pid=os.getpid(),
                start_time=_own_start_time(),
                boot_id=self._to.boot_id,
                started_at_ms=self._began_ms,
            )
        )
        supervision.catch_signals()
        process, output = self._start()
        self._started = True
        with suppress(OSError):
            os.write(writer, STARTED)
        supervision.run(process.pid, output, self._began_s)
        process.returncode = 0  # it was waited for elsewhere; Popen must not
        return self._report(supervision)

    def close(self) -> None:
        """Give back what the run took, as the process may serve again."""
        if self._supervision is not None:
            self._supervision.close()

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        account = find_account(self._order.username)
        folder = choose_folder(self._order.working_dir, account)
        script = make_script(self._order, instance_id=self._to.instance_id, instance_name=self._to.instance_name)
        path, passed = self._place(script, account)
        reader, writer = os.pipe()
        score = linux.reset_out_of_memory_score()
        try:
            process = _popen(script, path, account=account, folder=folder, output=writer, passed=passed)
        except (OSError, ValueError) as error:
            raise _start_error(script, account, error) from error
        finally:
            os.close(writer)
            if score is not None:
                linux.set_out_of_memory_score(score)
            if passed is not None:
                os.close(passed)
        os.set_blocking(reader, False)
        return process, reader

    def _place(self, script: Script, account: Account) -> tuple[str, int | None]:
        """Put the script where its user can read it and nobody else.

        The journal is closed to other users, so theirs is a file in memory that only the script's process holds; so is
        one that the disk has no room for.
        """
        if account.is_own:
            path = self._to.entry.path / f"script{script.suffix}"
            with suppress(OSError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(script.content)
                return str(path), None
        descriptor = linux.memory_file(script.content)
        return f"/dev/fd/{descriptor}", descriptor

    def _report(self, supervision: Supervision) -> Finished:
        text, dropped = supervision.output.kept()
        elapsed = supervision.ended_s - self._began_s
        status, code, exit_code, info = _judge(supervision)
        if supervision.ending is Ending.TIMEOUT:
            elapsed = self._order.timeout_s
        if supervision.survivors:
            info = f"{info} {supervision.survivors} of its processes could not be killed.".strip()
        return Finished(
            instance_id=self._to.instance_id,
            invocation_id=self._order.invocation_id,
            status=status,
            started_at_ms=self._began_ms,
            finished_at_ms=self._began_ms + int(elapsed * 1000),
            exit_code=exit_code,
            error_code=code or "",
            error_info=info,
            output=text,
            dropped=dropped,
        )

    def failed(self, code: str, message: str | None) -> Finished:
        """Return the report of an execution that could not be carried through."""
        error = INSTANCE_ERRORS[InstanceErrorCode(code)]
        return Finished(
            instance_id=self._to.instance_id,
            invocation_id=self._order.invocation_id,
            status=error.status,
            started_at_ms=self._began_ms if self._started else None,
            finished_at_ms=self._began_ms + int((elapsed_s() - self._began_s) * 1000),
            error_code=code,
            error_info=message or error.info,
        )


def _judge(supervision: Supervision) -> tuple[InstanceStatus, InstanceErrorCode | None, int | None, str]:
    """Return status, code, exit code and text for how a script ended."""
    exit_code = supervision.exit_code
    if supervision.ending is not None:
        status, code = _ENDINGS[supervision.ending]
        info = INSTANCE_ERRORS[code].info if code else ""
        return status, code, 1 if supervision.ending is Ending.TIMEOUT else exit_code, info
    if exit_code == 0:
        return InstanceStatus.SUCCESS, None, 0, ""
    code = InstanceErrorCode.EXIT_CODE_NONZERO
    if supervision.killed_by:
        info = f"The command was killed by {_signal_name(supervision.killed_by)}."
    else:
        info = INSTANCE_ERRORS[code].info
    return InstanceStatus.FAILED, code, exit_code, info


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _start_error(script: Script, account: Account, error: OSError | ValueError) -> ExecutionError:
    if isinstance(error, ValueError) or not isinstance(error, FileNotFoundError):
        return ExecutionError(
            InstanceErrorCode.EXECUTION_EXCEPTION,
            f"cannot start {script.interpreter[0]} as {account.name}: {_reason(error)}",
        )
    return ExecutionError(
        InstanceErrorCode.INVALID_COMMAND_TEXT,
        f"cannot run the content: its interpreter {script.interpreter[0]} is not on this host",
    )


def _popen(
    script: Script, path: str, *, account: Account, folder: str, output: int, passed: int | None
) -> subprocess.Popen[bytes]:
    as_user: dict[str, Any] = {}
    if not account.is_own:
        as_user = {"user": account.uid, "group": account.gid, "extra_groups": account.groups()}
    return subprocess.Popen(
        [*script.interpreter, path],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=folder,
        env=make_environment(account, script.variables, os.environ),
        start_new_session=True,
        umask=0o022,
        pass_fds=() if passed is None else (passed,),
        **as_user,
    )
