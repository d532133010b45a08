"""The project's Celery app, as a user's would be."""

import os

from celery import Celery

import channelcelery

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.reliable.settings"

app = Celery("benchmarks.reliable")
app.conf.update(broker_url=os.environ["CELERY_BROKER_URL"], broker_connection_retry_on_startup=True)
channelcelery.install(app)
