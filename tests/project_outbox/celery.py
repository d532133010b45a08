"""The project's own Celery app."""

import os

from celery import Celery

import channelcelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.project_outbox.settings")

app = Celery("tests.project_outbox")
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL", "memory://"),
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)
channelcelery.install(app)
