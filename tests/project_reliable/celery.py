"""The project's own Celery app."""

import os

from celery import Celery

import channelcelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project_reliable.settings")

app = Celery("tests.project_reliable")
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL", "memory://"),
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)
channelcelery.install(app)


@app.task(name="plain-task")
def plain_task(text: str) -> None:
    """A task that has nothing to do with channels."""
    from tests.project.consumers import write_down

    write_down(text)
