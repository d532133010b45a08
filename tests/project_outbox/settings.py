"""As the project for tests, with a database that the environment says."""

import json
import os

from tests.project.settings import *  # noqa: F403
from tests.project.settings import DATABASES as _DATABASES
from tests.project.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*(app for app in _APPS if app != "tests.project"), "channelcelery.reliable", "tests.project_outbox"]
DATABASES = json.loads(os.environ.get("TEST_DATABASES", "null")) or _DATABASES
