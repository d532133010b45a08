"""The project's own Celery app, with a plain task beside the channels."""

import os

from celery import Celery

import channelcelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project.settings")

app = Celery("tests.project")
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL", "memory://"),
    broker_connection_retry_on_startup=True,
    broker_transport_options={"polling_interval": 0.01} if "CELERY_BROKER_URL" not in os.environ else {},
    task_ignore_result=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
)
channelcelery.install(app)


@app.task(name="tests.project.note")
def note(text: str) -> None:
    """A plain task, to show that channels leave tasks alone."""
    from tests.project.consumers import write_down

    write_down(text)
