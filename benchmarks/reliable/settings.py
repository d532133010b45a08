"""As the project that is measured otherwise, with the table of dead letters."""

import os

from benchmarks.project.settings import *  # noqa: F403
from benchmarks.project.settings import CHANNEL_LAYERS as _LAYERS
from benchmarks.project.settings import INSTALLED_APPS as _APPS

_OTHERS = [app for app in _APPS if app != "benchmarks.project"]
INSTALLED_APPS = [*_OTHERS, "channelcelery.reliable", "benchmarks.reliable"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DATABASE"]}}
# filled before its worker starts
_LAYERS["default"]["CONFIG"]["channel_capacity"] = {"*": 10_000_000}
CHANNEL_LAYERS = _LAYERS
