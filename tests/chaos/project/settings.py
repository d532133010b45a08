"""Settings of the project that is killed; the environment chooses broker, Redis and options."""

import json
import os

SECRET_KEY = "for tests only"
USE_TZ = True
ROOT_URLCONF = "tests.chaos.project.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "channelcelery", "channelcelery.reliable", "tests.chaos.project"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["TEST_DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channelcelery.layers.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ["CHANNEL_LAYER_URL"]], **json.loads(os.environ["TEST_LAYER_CONFIG"])},
    }
}
