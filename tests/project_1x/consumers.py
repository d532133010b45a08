"""Consumers in the manner of Channels 1.x: only the package's name in the imports is another one."""

from typing import Any

from channelcelery import Group
from channelcelery.auth import channel_session_user, channel_session_user_from_http
from channelcelery.generic.websockets import JsonWebsocketConsumer, WebsocketDemultiplexer
from channelcelery.security.websockets import allowed_hosts_only
from channelcelery.sessions import channel_session

# chat with channel_session


@channel_session
def room_connect(message: Any, room: str) -> None:
    """Remember the room, and join it."""
    message.channel_session["room"] = room
    Group(f"chat-{room}").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


@channel_session
def room_receive(message: Any) -> None:
    """Send what came to the room."""
    Group("chat-{}".format(message.channel_session["room"])).send({"text": message["text"]})


@channel_session
def room_disconnect(message: Any) -> None:
    """Leave the room."""
    Group("chat-{}".format(message.channel_session["room"])).discard(message.reply_channel)


# chat with users: those whose names begin alike hear each other


@allowed_hosts_only
@channel_session_user_from_http
def users_connect(message: Any) -> None:
    """Join the room of one's first letter, or refuse nobody's socket."""
    if not message.user.is_authenticated:
        message.reply_channel.send({"close": True})
        return
    Group(f"users-{message.user.username[0]}").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


@channel_session_user
def users_receive(message: Any) -> None:
    """Send what came to everyone whose name begins alike."""
    text = "{}: {}".format(message.user.username, message["text"])
    Group(f"users-{message.user.username[0]}").send({"text": text})


@channel_session_user
async def users_disconnect(message: Any) -> None:
    """Tell the others."""
    text = f"{message.user.username} left"
    Group(f"users-{message.user.username[0]}").send({"text": text})


class Counter(JsonWebsocketConsumer):
    """Adds up numbers, and tells everyone on the board."""

    channel_session = True
    http_user_and_session = True

    def connection_groups(self, **kwargs: Any) -> list[str]:
        return ["board-{}".format(kwargs["board"])]

    def connect(self, message: Any, **kwargs: Any) -> None:
        message.channel_session["sum"] = 0
        super().connect(message, **kwargs)

    def receive(self, content: Any, **kwargs: Any) -> None:
        session = self.message.channel_session
        session["sum"] += content["add"]
        said = {"user": self.message.user.username, "sum": session["sum"], "http": bool(self.message.http_session)}
        self.group_send("board-{}".format(kwargs["board"]), said)


class Doubler(JsonWebsocketConsumer):
    """One stream: numbers, doubled."""

    def connect(self, message: Any, multiplexer: Any, **kwargs: Any) -> None:
        multiplexer.send({"status": "connected"})

    def receive(self, content: Any, multiplexer: Any, **kwargs: Any) -> None:
        multiplexer.send({"doubled": content["number"] * 2})


class Whisperer(JsonWebsocketConsumer):
    """One stream: sends to everyone, on a stream that is not its own."""

    groups = ["whispers"]

    def receive(self, content: Any, multiplexer: Any, **kwargs: Any) -> None:
        multiplexer.group_send("whispers", "whispers", content)


class Streams(WebsocketDemultiplexer):
    """Both on one socket."""

    consumers = {"double": Doubler, "whisper": Whisperer}
