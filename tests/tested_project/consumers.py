"""Its consumers, in the manner of Channels 1.x."""

import os
from typing import Any

from django.contrib.auth import get_user_model

from channelcelery import Channel, Group
from channelcelery.auth import channel_session_user, channel_session_user_from_http
from channelcelery.generic.websockets import JsonWebsocketConsumer


@channel_session_user_from_http
def ws_connect(message: Any, room: str) -> None:
    """Join a room."""
    message.channel_session["room"] = room
    Group(f"room-{room}").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


@channel_session_user
def ws_receive(message: Any) -> None:
    """Tell the room, and have a user made."""
    room = message.channel_session["room"]
    Group(f"room-{room}").send({"text": f"{message.user.username}: {message['text']}"})
    Channel("people").send({"name": message["text"], "room": room})


def add_person(message: Any) -> None:
    """Add a user, and tell the room so, by process."""
    if message["name"] == "broken":
        raise RuntimeError("on purpose: the broken consumer")
    get_user_model().objects.create(username=message["name"])
    Group("room-{}".format(message["room"])).send({"text": f"added by {os.getpid()}"})


class Doubler(JsonWebsocketConsumer):
    """Doubles numbers."""

    groups = ["doublers"]

    def receive(self, content: Any, **kwargs: Any) -> None:
        self.send({"doubled": content["number"] * 2})
