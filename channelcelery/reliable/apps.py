"""The app that keeps dead letters: "channelcelery.reliable" in INSTALLED_APPS."""

from django.apps import AppConfig

__all__ = ["ReliableConfig"]


class ReliableConfig(AppConfig):
    """Has the table of dead letters, and their pages in Django's admin."""

    name = "channelcelery.reliable"
    label = "channelcelery_reliable"
    verbose_name = "Reliable channels"
    default_auto_field = "django.db.models.BigAutoField"
