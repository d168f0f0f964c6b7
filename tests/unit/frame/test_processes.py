"""The tests' own tools leave nothing behind."""

import psutil

from processes import Programs
from waiting import wait_until


def test_programs_are_killed_with_what_left_them(programs: Programs) -> None:
    """A grandchild in a session of its own, whose parent is gone, is found by the mark that it inherited."""
    programs.start("/bin/sh", "-c", "setsid sh -c 'echo $$ >pid; exec sleep 1000' & exec sleep 1000")
    pid_file = programs.folder / "pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), 5, "the grandchild's id")
    grandchild = psutil.Process(int(pid_file.read_text()))

    programs.kill_all()

    wait_until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE, 5, "its end")
