"""A plain Celery app for tests that kill its workers: each task takes a while and writes to a file when it runs."""

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from channelcelery.broker.safe_app import make_safe

OPTIONS: dict[str, Any] = json.loads(os.environ.get("KILLS_OPTIONS", "{}"))

app = Celery("kills", broker=os.environ.get("KILLS_BROKER", "memory://"))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("KILLS_MULTIPLIER", "1")),
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # seconds after the death of a process of the pool, 10 by default
    worker_lost_wait=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options=OPTIONS,
    task_queues=[Queue("kills", Exchange("kills"), routing_key="kills")],
    task_default_queue="kills",
    task_default_exchange="kills",
    task_default_routing_key="kills",
)
make_safe(app)


def note(*words: object) -> None:
    """Write a line to the test's file, in one piece."""
    line = " ".join(map(str, words)) + f" {time.time()}\n"
    handle = os.open(Path(os.environ["KILLS_FILE"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


@app.task(name="work", bind=True)
def work(self: Any, number: int, seconds: float) -> None:
    """Run for so many seconds."""
    note("start", number, os.getpid())
    time.sleep(seconds)
    note("end", number, os.getpid())


@app.task(name="poison", bind=True)
def poison(self: Any, number: int) -> None:
    """Kill the process that runs it, until it has been given back twice."""
    given_back = int((self.request.headers or {}).get("x-delivery-count", 0))
    note("start", number, given_back)
    if given_back < 2:
        os.kill(os.getpid(), 9)
    note("end", number, given_back)
