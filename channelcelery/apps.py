"""The application: `INSTALLED_APPS = ["channelcelery", …]` is all that a project needs (Channels 1.x, item 227)."""

from typing import Any

from django.apps import AppConfig

from channelcelery.checks import register_checks
from channelcelery.layers.routers import find_routers_by

__all__ = ["ChannelCeleryConfig"]


class ChannelCeleryConfig(AppConfig):
    """Registers the checks, and imports no consumer: the interface process sets Django up too (item 11)."""

    name = "channelcelery"
    label = "channelcelery"
    verbose_name = "Channels on Celery"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register_checks()
        find_routers_by(_router)


def _router(alias: str) -> Any:
    from channelcelery.routing import get_router

    return get_router(alias)
