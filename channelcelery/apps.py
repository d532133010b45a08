"""The application: `INSTALLED_APPS = ["channelcelery", …]` is all that a project needs (Channels 1.x, item 227)."""

from typing import Any

from django.apps import AppConfig
from django.core.management import get_commands

from channelcelery.checks import register_checks
from channelcelery.conf import LayerConfig
from channelcelery.layers import channel_layers
from channelcelery.layers.base import ReliablePublisher
from channelcelery.layers.routers import find_routers_by

__all__ = ["ChannelCeleryConfig", "ChannelsConfig"]


class ChannelCeleryConfig(AppConfig):
    """Registers the checks, and imports no consumer: the interface process sets Django up too (item 11)."""

    name = "channelcelery"
    label = "channelcelery"
    verbose_name = "Channels on Celery"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register_checks()
        find_routers_by(_router)
        channel_layers.send_reliably_by(_reliable_publisher)
        _take_runserver(get_commands())


class ChannelsConfig(ChannelCeleryConfig):
    """The same by its name in Channels 1.x, for projects that wrote `"channels.apps.ChannelsConfig"` (item 227)."""

    default = False


def _take_runserver(commands: dict[str, str]) -> None:
    """Let `manage.py runserver` be ours where `django.contrib.staticfiles` stands before us (Channels 1.x, item 221).

    The documentation of Channels 1.x put its application last, and so do the projects written for it. Applications
    that know nothing of this package, such as daphne, keep theirs: `channelcelery.W004` tells of them.

    Args:
        commands: application by command, as Django keeps it.
    """
    if commands.get("runserver") == "django.contrib.staticfiles":
        commands["runserver"] = "channelcelery"


def _router(alias: str) -> Any:
    from channelcelery.routing import get_router

    return get_router(alias)


def _reliable_publisher(config: LayerConfig) -> ReliablePublisher:
    from channelcelery.reliable.sending import ReliableSender

    return ReliableSender(config)
