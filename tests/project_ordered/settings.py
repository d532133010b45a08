"""Settings of the project whose sockets want order; the environment chooses broker and Redis."""

from tests.project.settings import *  # noqa: F403

INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "channelcelery", "tests.project_ordered"]
SESSION_ENGINE = "channelcelery.redis_sessions"
CHANNEL_LAYERS["default"]["ROUTING"] = "tests.project_ordered.consumers.routing"  # noqa: F405
