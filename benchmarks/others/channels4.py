"""Channels 4: an echo and a group, as coroutines, which are its fastest consumers."""

from typing import Any

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

django.setup()


class Echo(AsyncWebsocketConsumer):
    """Send the text back."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data)


class Member(AsyncWebsocketConsumer):
    """Join the group first, so that an accepted socket gets every send."""

    async def connect(self) -> None:
        await self.channel_layer.group_add("bench", self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard("bench", self.channel_name)

    async def bench(self, event: dict[str, Any]) -> None:
        """Send what was sent to the group."""
        await self.send(text_data=event["text"])


application = ProtocolTypeRouter(
    {"websocket": URLRouter([path("echo", Echo.as_asgi()), path("group", Member.as_asgi())])}
)
