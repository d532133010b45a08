"""Settings of the project in the manner of Channels 1.x; the environment chooses broker, Redis and database."""

import os

from tests.project.settings import *  # noqa: F403
from tests.project.settings import CHANNEL_LAYERS

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channelcelery",
]
ROOT_URLCONF = "tests.project_1x.urls"
STATIC_URL = "/static/"
CHANNEL_LAYERS["default"]["ROUTING"] = "tests.project_1x.routing.channel_routing"
SESSION_ENGINE = os.environ.get("TEST_SESSION_ENGINE", "django.contrib.sessions.backends.db")
