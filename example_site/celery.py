"""The project's Celery app: `celery -A example_site worker` runs the consumers."""

import os

from celery import Celery

import channelcelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_site.settings")

app = Celery("example_site")
app.config_from_object("celeryconfig")
channelcelery.install(app)
