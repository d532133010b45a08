"""Messages of one socket, for tests of decorators and class-based consumers."""

from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings

from channelcelery.message import Message
from tests.fakes import FakeLayer, make_message

REPLY = "websocket.send!node.token"


def connect_message(*, cookie: str | None = None, query: bytes = b"", **content: Any) -> Message:
    """Return a `websocket.connect` of a browser with a session cookie."""
    headers = [] if cookie is None else [[b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode()]]
    content = {"reply_channel": REPLY, "path": "/", "query_string": query, "headers": headers, "order": 0} | content
    return make_message("websocket.connect", **content)


def receive_message(text: str = "", **content: Any) -> Message:
    """Return a `websocket.receive` of the same socket."""
    return make_message(
        "websocket.receive", **{"reply_channel": REPLY, "path": "/", "text": text, "order": 1} | content
    )


def disconnect_message() -> Message:
    """Return the `websocket.disconnect` of the same socket."""
    return make_message("websocket.disconnect", reply_channel=REPLY, path="/", code=1000, order=2)


def replies(message: Message) -> list[dict[str, Any]]:
    """Return what was sent to a message's reply channel."""
    assert isinstance(message.channel_layer, FakeLayer)
    return [content for name, content in message.channel_layer.replies.delivered if name == REPLY]


def run_async(consumer: Any, *args: Any) -> Any:
    """Call an async consumer as a worker does."""

    async def call() -> Any:
        return await consumer(*args)

    return async_to_sync(call)()
