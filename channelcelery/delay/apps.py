"""The app that makes `asgi.delay` a channel."""

from django.apps import AppConfig

__all__ = ["DelayConfig"]


class DelayConfig(AppConfig):
    """Named as in Channels 1.x; it has no table, since what waits does so in the layer."""

    name = "channelcelery.delay"
    label = "channelcelery_delay"
    verbose_name = "Delayed messages"
