"""Sockets as classes: plain, JSON (Channels 1.x, items 182 to 189), and for several streams (items 190 to 195)."""

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from channelcelery.around import finish
from channelcelery.auth import channel_and_http_session_user_from_http, channel_session_user_from_http
from channelcelery.channel import Group
from channelcelery.exceptions import SendNotAvailableOnDemultiplexer
from channelcelery.generic.base import BaseConsumer
from channelcelery.generic.multiplexer import WebsocketMultiplexer, on_the_layer
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from channelcelery.sessions import enforce_ordering

__all__ = ["JsonWebsocketConsumer", "WebsocketConsumer", "WebsocketDemultiplexer", "WebsocketMultiplexer"]


class WebsocketConsumer(BaseConsumer):
    """A socket: define `connect`, `receive` and `disconnect`; see `BaseConsumer` (items 182 to 187)."""

    method_mapping: ClassVar = {
        "websocket.connect": "raw_connect",
        "websocket.receive": "raw_receive",
        "websocket.disconnect": "raw_disconnect",
    }
    #: whether the browser's user becomes the connection's on connect; implies `channel_session_user`
    http_user: bool = False
    #: the same, and `message.http_session` on every message
    http_user_and_session: bool = False
    #: whether messages are handled one after another, in order
    strict_ordering: bool = False
    #: whether no message is handled before connect was
    slight_ordering: bool = False
    #: names of groups that every socket is in; see `connection_groups`
    groups: Sequence[str] | None = None

    def get_handler(self, message: Message, **kwargs: Any) -> Callable[..., Any]:
        if self.http_user or self.http_user_and_session:
            self.channel_session_user = True
        self.path = message["path"]
        handler = super().get_handler(message, **kwargs)
        if self.http_user_and_session:
            handler = channel_and_http_session_user_from_http(handler)
        elif self.http_user:
            handler = channel_session_user_from_http(handler)
        if self.strict_ordering or self.slight_ordering:
            return enforce_ordering(handler, slight=not self.strict_ordering)
        return handler

    def connection_groups(self, **kwargs: Any) -> Sequence[str]:
        """Return the names of the groups that the socket is in while it is open, as a list (item 183)."""
        return self.groups or []

    @property
    def _groups(self) -> list[Group]:
        names = self.connection_groups(**self.kwargs)
        if isinstance(names, str):
            raise TypeError(f"groups and connection_groups() are lists of names: write [{names!r}], not {names!r}")
        return [Group(name, channel_layer=self.message.channel_layer) for name in names]

    def raw_connect(self, message: Message, **kwargs: Any) -> None:
        """Handle `websocket.connect`: join the groups, then call `connect`."""
        for group in self._groups:
            group.add(self.message.reply_channel)
        finish(self.connect(message, **kwargs))

    def connect(self, message: Message, **kwargs: Any) -> Any:
        """Called when a socket wants to open: accepts it, which a method of a subclass does itself (item 182)."""
        self.message.reply_channel.send({"accept": True})

    def raw_receive(self, message: Message, **kwargs: Any) -> None:
        """Handle `websocket.receive`: call `receive` with the frame."""
        if message.get("text") is not None:
            finish(self.receive(text=message["text"], **kwargs))
        else:
            finish(self.receive(bytes=message["bytes"], **kwargs))

    def receive(self, text: str | None = None, bytes: bytes | None = None, **kwargs: Any) -> Any:
        """Called with a frame, either text or bytes."""

    def raw_disconnect(self, message: Message, **kwargs: Any) -> None:
        """Handle `websocket.disconnect`: leave the groups, then call `disconnect`."""
        for group in self._groups:
            group.discard(self.message.reply_channel)
        finish(self.disconnect(message, **kwargs))

    def disconnect(self, message: Message, **kwargs: Any) -> Any:
        """Called when a socket has closed."""

    def send(self, text: str | None = None, bytes: bytes | None = None, close: bool | int = False) -> None:
        """Send a frame to the socket (item 184).

        Args:
            text: a text frame; it wins over `bytes`.
            bytes: a binary frame.
            close: whether to close the socket after it, or with which code.

        Raises:
            ValueError: neither text nor bytes was given.
            SendNotAvailableOnDemultiplexer: this class handles one stream of a socket (item 194).
        """
        # what a demultiplexer adds, as opposed to a named group of a route
        if not isinstance(self.kwargs.get("multiplexer", ""), str):
            raise SendNotAvailableOnDemultiplexer("a stream's consumer sends with the multiplexer in its kwargs")
        self.message.reply_channel.send(_frame(text, bytes, close))

    @on_the_layer
    def group_send(
        cls,
        name: str,
        text: str | None = None,
        bytes: bytes | None = None,
        close: bool | int = False,
        *,
        channel_layer: ChannelLayer | None = None,
    ) -> None:
        """Send a frame to a group of sockets; callable on the class.

        Args:
            name: the group's name.
            text: see `send`.
            bytes: see `send`.
            close: see `send`.
            channel_layer: the group's layer; on an instance that of its message, else the default one.
        """
        Group(name, channel_layer=channel_layer).send(_frame(text, bytes, close))

    def close(self, status: bool | int = True) -> None:
        """Close the socket.

        Args:
            status: the code; True means 1000.
        """
        self.message.reply_channel.send({"close": status})


class JsonWebsocketConsumer(WebsocketConsumer):
    """A socket whose frames are JSON; binary ones are refused (items 188 and 189)."""

    def raw_receive(self, message: Message, **kwargs: Any) -> None:
        if message.get("text") is None:
            raise ValueError("No text section for incoming WebSocket frame!")
        finish(self.receive(self.decode_json(message["text"]), **kwargs))

    def receive(self, content: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Called with a frame's decoded content."""

    def send(self, content: Any, close: bool | int = False) -> None:  # type: ignore[override]
        """Send content as a JSON frame; see `WebsocketConsumer.send`."""
        super().send(text=self.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text: str) -> Any:
        """Return the content of a frame."""
        return json.loads(text)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return content as the text of a frame."""
        return json.dumps(content)

    @on_the_layer
    def group_send(
        cls, name: str, content: Any, close: bool | int = False, *, channel_layer: ChannelLayer | None = None
    ) -> None:
        """Send content as a JSON frame to a group of sockets; see `WebsocketConsumer.group_send`."""
        WebsocketConsumer.group_send(name, cls.encode_json(content), close=close, channel_layer=channel_layer)


class WebsocketDemultiplexer(JsonWebsocketConsumer):
    """A socket of several streams, each with a consumer of its own (items 190 to 195).

    A frame is `{"stream": name, "payload": {…}}`; the stream's consumer gets a `websocket.receive` whose text is the
    payload, and in its kwargs a `multiplexer` to answer with. It gets connect and disconnect too.
    """

    #: stream -> consumer, a class or a function
    consumers: ClassVar[dict[str, Callable[..., Any]]] = {}
    #: makes each stream's `multiplexer`
    multiplexer_class: ClassVar[type[WebsocketMultiplexer]] = WebsocketMultiplexer

    def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
        if not isinstance(content, dict) or "stream" not in content or "payload" not in content:
            raise ValueError("Invalid multiplexed frame received (no channel/payload key)")
        stream, payload = content["stream"], content["payload"]
        if not isinstance(stream, str) or stream not in self.consumers:
            raise ValueError("Invalid multiplexed frame received (stream not mapped)")
        if not isinstance(payload, dict):
            raise ValueError("Multiplexed frame payload is not a dict")
        self.message["text"] = self.encode_json(payload)
        self._pass_on(stream, kwargs)

    def connect(self, message: Message, **kwargs: Any) -> None:
        super().connect(message, **kwargs)
        for stream in self.consumers:
            self._pass_on(stream, kwargs)

    def disconnect(self, message: Message, **kwargs: Any) -> None:
        for stream in self.consumers:
            self._pass_on(stream, kwargs)

    def _pass_on(self, stream: str, kwargs: dict[str, Any]) -> None:
        multiplexer = self.multiplexer_class(stream, self.message.reply_channel)
        finish(self.consumers[stream](self.message, **kwargs | {"multiplexer": multiplexer}))

    def send(self, *args: Any, **kwargs: Any) -> None:
        raise SendNotAvailableOnDemultiplexer("Use multiplexer.send of the multiplexer kwarg.")

    @classmethod
    def group_send(cls, *args: Any, **kwargs: Any) -> None:
        raise SendNotAvailableOnDemultiplexer("Use WebsocketMultiplexer.group_send")


def _frame(text: str | None, data: bytes | None, close: bool | int) -> dict[str, Any]:
    frame: dict[str, Any] = {"close": close} if close else {}
    if text is not None:
        return frame | {"text": text}
    if data is not None:
        return frame | {"bytes": data}
    raise ValueError("You must pass text or bytes")
