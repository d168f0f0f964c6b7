"""Celery's own beat and celery-redbeat with 10,000 entries, 1,000 of them due at once: what ours is measured beside."""

import os

import celery
from celery.schedules import schedule

QUEUE = "bench:plain-beat"
LOADED = 10_000
DUE = 1_000
DUE_AFTER_S = 8
_NEVER_S = 86_400

app = celery.Celery("plain_beat", broker=os.environ.get("BENCH_REDIS_URL"))
app.conf.update(
    task_ignore_result=True,
    redbeat_redis_url=os.environ.get("BENCH_REDIS_URL"),
    redbeat_lock_timeout=60,
    beat_max_loop_interval=1,
    beat_schedule={
        f"entry-{number}": {
            "task": "plain.shell",
            "args": ["echo hi"],
            "schedule": schedule(DUE_AFTER_S if number < DUE else _NEVER_S),
            "options": {"queue": QUEUE, "expires": 60},
        }
        for number in range(LOADED)
    },
)
