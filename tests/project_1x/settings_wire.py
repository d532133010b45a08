"""Settings of the project whose consumers do what their messages ask for."""

from tests.project.settings import *  # noqa: F403
from tests.project.settings import CHANNEL_LAYERS

INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "channelcelery"]
CHANNEL_LAYERS["default"]["ROUTING"] = "tests.project_1x.wire.channel_routing"
CHANNELS_WS_PROTOCOLS = ["chat.v2", "chat.v1"]
ROOT_URLCONF = "tests.project_1x.wire"
