"""Facts about processes, checked on real ones."""

import os
import subprocess
import sys
import uuid

import psutil
import pytest

from fleethand_worker import linux
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's own")


def test_descendants_are_found_when_they_have_sessions_of_their_own() -> None:
    """Children and grandchildren, whatever their session."""
    process = subprocess.Popen(["sh", "-c", "setsid sleep 30 & sleep 30 & wait"])
    try:
        expected = wait_until(
            lambda: len(found := psutil.Process(process.pid).children(recursive=True)) == 2 and found, 5, "two children"
        )
        assert sorted(linux.descendants(process.pid)) == sorted(child.pid for child in expected)
        assert process.pid in linux.descendants(os.getpid())
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait(5)


def test_processes_are_found_by_a_variable_when_they_inherited_it() -> None:
    """Also those that are nobody's children any more."""
    value = uuid.uuid4().hex
    process = subprocess.Popen(["sleep", "30"], env={**os.environ, "FLEETHAND_X": value}, start_new_session=True)
    try:
        wait_until(lambda: linux.with_variables(FLEETHAND_X=value) == [process.pid], 5, "the process")
        assert linux.with_variables(FLEETHAND_X=value, FLEETHAND_Y="no") == []
        assert linux.start_time(process.pid) == linux.start_time(process.pid) != ""
    finally:
        process.kill()
        process.wait(5)
    assert linux.with_variables(FLEETHAND_X=value) == []
    assert linux.start_time(process.pid) == ""
    assert linux.send_signal(process.pid, linux.signal.SIGTERM) is False


def test_memory_file_is_readable_and_not_writable_when_it_is_passed_on() -> None:
    """A script's process reads it by its descriptor."""
    descriptor = linux.memory_file(b"echo hi")
    try:
        done = subprocess.run(["cat", f"/dev/fd/{descriptor}"], pass_fds=(descriptor,), capture_output=True, check=True)
        assert done.stdout == b"echo hi"
    finally:
        os.close(descriptor)
