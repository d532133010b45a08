"""Settings of the project that is measured: no middleware, sessions or database; Redis is as the environment says.

All that is not said here is as a user gets it.
"""

import os

SECRET_KEY = "for benchmarks only"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "benchmarks.project.urls"
INSTALLED_APPS = ["channelcelery", "benchmarks.project"]
MIDDLEWARE: list[str] = []

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channelcelery.layers.RedisChannelLayer",
        "CONFIG": {
            "hosts": [os.environ["CHANNEL_LAYER_URL"]],
            "http": os.environ.get("BENCH_HTTP", "worker"),
            # all clients come at once and from one machine, and some join a thousand groups
            "connect_rate": 100_000,
            "connect_timeout": 30,
            # this one is filled before its worker starts, which can take longer than a message lives by default
            "channel_capacity": {"nothing": 10_000_000},
            "expiry": 600,
        },
    }
}
