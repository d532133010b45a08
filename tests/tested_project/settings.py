"""Its settings; the environment names broker, Redis and database."""

import json
import os

SECRET_KEY = "for tests only"
ALLOWED_HOSTS = ["example.com"]
USE_TZ = True
ROOT_URLCONF = "tests.tested_project.urls"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "channelcelery",
    "django.contrib.staticfiles",
    "tests.tested_project",
]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
STATIC_URL = "/static/"
DATABASES = {"default": json.loads(os.environ["TESTED_DATABASE"])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_BROKER_URL = os.environ.get("TESTED_BROKER", "amqp://guest:guest@127.0.0.1:1//")
GREETING = "hello"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channelcelery.layers.RedisChannelLayer",
        # nothing is there: tests must not reach what CONFIG names
        "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"], "prefix": "production:"},
        "TEST_CONFIG": {
            "hosts": [os.environ.get("TESTED_LAYER", "redis://127.0.0.1:1/0")],
            "prefix": "tested:",
            "http": os.environ.get("TESTED_HTTP", "worker"),
        },
        "ROUTING": "tests.tested_project.routing.channel_routing",
    }
}
