"""A ready Celery app for projects that have none: `celery -A channelcelery worker`, with DJANGO_SETTINGS_MODULE set."""

from channelcelery.broker.connection import broker_app
from channelcelery.worker.install import install

__all__ = ["app"]

app = install(broker_app())
