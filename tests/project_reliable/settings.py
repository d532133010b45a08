"""As the project for tests, with the table of dead letters."""

from tests.project.settings import *  # noqa: F403
from tests.project.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*(app for app in _APPS if app != "tests.project"), "channelcelery.reliable", "tests.project_reliable"]
