"""Settings of the project for tests; the environment chooses broker, Redis and options."""

import json
import os

SECRET_KEY = "for tests only"
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "tests.project.urls"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "channelcelery",
    "channelcelery.delay",
    "tests.project",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("TEST_DATABASE", ":memory:")}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if _spans := os.environ.get("TEST_SPANS"):
    from tests.project.spans import record_to

    record_to(_spans)

_url = os.environ.get("CHANNEL_LAYER_URL")
_config = json.loads(os.environ.get("TEST_LAYER_CONFIG", "{}"))
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": f"channelcelery.layers.{'RedisChannelLayer' if _url else 'InMemoryChannelLayer'}",
        "CONFIG": ({"hosts": [_url]} if _url else {}) | _config,
    }
}
