"""The project's own Celery app."""

import json
import os
import time
from typing import Any

from celery import Celery

import channelcelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project_reliable.settings")

app = Celery("tests.project_reliable")
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL", "memory://"),
    broker_connection_retry_on_startup=True,
    broker_transport_options=json.loads(os.environ.get("TEST_TRANSPORT_OPTIONS", "{}")),
    task_ignore_result=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # seconds after the death of a process of the pool, 10 by default
    worker_lost_wait=1,
)
if "TEST_NOT_INSTALLED" not in os.environ:  # for comparison
    channelcelery.install(app)


@app.task(name="plain-task")
def plain_task(text: str) -> None:
    """A task that has nothing to do with channels."""
    from tests.project.consumers import write_down

    write_down(text)


@app.task(name="nap")
def nap(name: str, seconds: float = 0) -> None:
    """Write down when it began, and take some time."""
    from tests.project.consumers import write_down

    write_down(f"{name} {time.time()}")
    time.sleep(seconds)


@app.task(name="late-nap", bind=True, acks_late=True)
def late_nap(self: Any, seconds: float) -> None:
    """The same, acknowledged at its end; what was delivered before takes no time."""
    from tests.project.consumers import write_down

    again = bool(self.request.delivery_info["redelivered"])
    write_down(f"late {again} {os.getppid()}")
    time.sleep(0 if again else seconds)
