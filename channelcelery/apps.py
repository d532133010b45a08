"""The application: `INSTALLED_APPS = ["channelcelery", …]` is all that a project needs (Channels 1.x, item 227)."""

from django.apps import AppConfig

from channelcelery.checks import register_checks

__all__ = ["ChannelCeleryConfig"]


class ChannelCeleryConfig(AppConfig):
    """Registers the checks, and imports no consumer: the interface process sets Django up too (item 11)."""

    name = "channelcelery"
    label = "channelcelery"
    verbose_name = "Channels on Celery"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register_checks()
