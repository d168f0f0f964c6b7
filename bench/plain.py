"""A plain Celery application that does the same work in the usual way: what we are measured beside."""

import os
import subprocess

import celery

app = celery.Celery("plain", broker=os.environ.get("BENCH_REDIS_URL"), backend=os.environ.get("BENCH_REDIS_URL"))
app.conf.task_create_missing_queues = True


@app.task(name="plain.shell")
def shell(command: str) -> tuple[int, str]:
    """Run a command and return its exit code and output."""
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout
