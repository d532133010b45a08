"""Sending on one stream of a socket that carries several (Channels 1.x, item 193)."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from channelcelery.channel import Channel, Group
from channelcelery.layers.layer import ChannelLayer

__all__ = ["WebsocketMultiplexer", "on_the_layer"]


class on_the_layer:
    """A class method that, called on an instance, gets the layer that the instance's message came by.

    Channels 1.1.8 sent to groups of the default layer always (defect 22).

    Args:
        function: takes the class first, and `channel_layer` as a keyword.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.__func__ = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type) -> Callable[..., None]:
        if instance is None:
            return partial(self.__func__, owner)
        source = getattr(instance, "message", None) or instance.reply_channel
        return partial(self.__func__, owner, channel_layer=source.channel_layer)


class WebsocketMultiplexer:
    """Answers on one stream; consumers of a `WebsocketDemultiplexer` get one as `multiplexer`.

    Args:
        stream: the stream's name.
        reply_channel: the socket's reply channel.
    """

    def __init__(self, stream: str, reply_channel: Channel) -> None:
        self.stream = stream
        self.reply_channel = reply_channel

    def send(self, payload: Any) -> None:
        """Send a payload on the stream."""
        self.reply_channel.send(self.encode(self.stream, payload))

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return a frame's content as text; dates, decimals and UUIDs are understood."""
        return json.dumps(content, cls=DjangoJSONEncoder)

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """Return the message that carries a payload on a stream."""
        return {"text": cls.encode_json({"stream": stream, "payload": payload})}

    @on_the_layer
    def group_send(
        cls: Any,
        name: str,
        stream: str,
        payload: Any,
        close: bool | int = False,
        *,
        channel_layer: ChannelLayer | None = None,
    ) -> None:
        """Send a payload on a stream of a group of sockets; callable on the class.

        Args:
            name: the group's name.
            stream: the stream's name.
            payload: what is sent.
            close: whether to close the sockets after it, or with which code.
            channel_layer: the group's layer; on an instance that of its socket, else the default one.
        """
        content = cls.encode(stream, payload)
        Group(name, channel_layer=channel_layer).send(content | {"close": close} if close else content)
