"""Messages of `http.request` for tests: as an interface process sends them, in memory."""

from typing import Any

from channelcelery.core.envelope import encode_content
from channelcelery.core.names import ReplyAddress
from channelcelery.message import Message
from tests.fakes import FakeLayer

ADDRESS = ReplyAddress("node", "http.token")
REPLY = ADDRESS.channel()


def http_message(path: str = "/", layer: FakeLayer | None = None, **content: Any) -> Message:
    """Return a request; further arguments are keys of the message."""
    plain: dict[str, Any] = {
        "reply_channel": REPLY,
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "body": b"",
        "body_channel": None,
        "client": ["10.1.2.3", 4321],
        "server": ["example.com", 80],
    }
    return Message(plain | content, "http.request", layer or FakeLayer())


def feed(layer: FakeLayer, *pieces: dict[str, Any]) -> str:
    """Put pieces of a body where they are read, and return the name of their channel."""
    for piece in pieces:
        assert layer.pieces.put_body(ADDRESS, encode_content(piece, 10**7))
    return ADDRESS.body_channel()
