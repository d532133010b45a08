from django.apps import AppConfig
from django.conf import settings

from channelcelery.signals import worker_ready


class ChatConfig(AppConfig):
    name = "example_site.chat"

    def ready(self) -> None:
        if not settings.CHANNEL_LAYER_URL:
            worker_ready.connect(forget_former_sockets)


def forget_former_sockets(**kwargs) -> None:
    """Empty the rooms when the one process of the in-memory layer starts: its sockets ended with it, untold."""
    from example_site.chat.models import Presence

    Presence.objects.all().delete()
