"""`AsgiRequest`: the `http.request` message as Django's request (Channels 1.x, items 98 to 103)."""

import time
from collections.abc import Iterable, Mapping
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.core.handlers.asgi import ASGIRequest

from channelcelery.core.names import body_address, is_body_channel
from channelcelery.exceptions import RequestAborted, RequestTimeout, ResponseLater
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message

__all__ = ["AsgiRequest", "script_prefix"]

#: Bytes of a body that are held in memory, as by the interface process.
_IN_MEMORY = 2_621_440
#: Seconds between two looks whether the interface process is still there.
_SLICE = 1.0


class AsgiRequest(ASGIRequest):
    """A request made from a message; its body has come as a whole when this is made.

    Args:
        message: an `http.request`, with the keys of item 90; its headers may be a dict, as Channels 1.x took them, too.

    Raises:
        RequestTimeout: a piece of the body did not come within `body_receive_timeout`.
        RequestAborted: the client left before its body was read.
        RequestDataTooBig: the body is above CONFIG["body_size"].
        BadRequest: the message, or a piece of its body, is malformed.
        UnicodeDecodeError: the query is no UTF-8.
    """

    #: Raise it in a view that leaves the answer to something else (item 108).
    ResponseLater = ResponseLater
    #: Seconds between two pieces of the body (item 103).
    body_receive_timeout = 60

    def __init__(self, message: Message) -> None:
        self.message = message
        self.reply_channel = message.reply_channel
        body = _read_body(message, self.body_receive_timeout)
        try:
            headers = _pairs(message.get("headers") or ())
            # of the message, and not all of it: pages of errors would show the body
            keys = ("method", "path", "root_path", "query_string", "scheme", "client", "server", "http_version")
            scope = {key: message[key] for key in keys if message.get(key) is not None}
            # a handshake is a GET, though its message does not say so
            super().__init__({"type": "http", "path": "", "method": "GET", **scope, "headers": headers}, body)
        except BaseException:
            body.close()
            raise
        self.path_info = self.META["PATH_INFO"] = _below(self.script_name or "", self.path)
        if (cookies := [value for name, value in headers if name == b"cookie"])[1:]:
            self.META["HTTP_COOKIE"] = b"; ".join(cookies).decode("latin-1")

    def is_secure(self) -> bool:
        """Tell whether it came over TLS; a socket's handshake may have, too (defect 13)."""
        return self.scheme in ("https", "wss")


def script_prefix(message: Message) -> str:
    """Return what the paths of a site begin with: FORCE_SCRIPT_NAME, or what the server says (item 99)."""
    return str(settings.FORCE_SCRIPT_NAME or message.get("root_path") or "")


def _below(prefix: str, path: str) -> str:
    """Cut a prefix off a path, where the path is below it and does not only begin alike (defect 13)."""
    prefix = prefix.rstrip("/")
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        return path[len(prefix) :] or "/"
    return path


def _pairs(given: Any) -> list[tuple[bytes, bytes]]:
    """Return headers as pairs of bytes, whichever form they came in (item 102)."""
    pairs: Iterable[Any] = given.items() if isinstance(given, Mapping) else given
    try:
        return [(_as_bytes(name).lower(), _as_bytes(value)) for name, value in pairs]
    except (TypeError, ValueError) as error:
        raise BadRequest("the headers of a message are pairs of bytes") from error


def _as_bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else str.encode(part, "latin-1")


# the body (items 91 and 103)


def _read_body(message: Message, timeout: float) -> IO[bytes]:
    body, channel = message.get("body") or b"", message.get("body_channel")
    if not isinstance(body, bytes):
        raise BadRequest("the body of a message is bytes")
    if not channel:
        return BytesIO(body)
    layer = message.channel_layer
    limit, size = layer.config.body_size, len(body)
    file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the request closes it
    try:
        file.write(body)
        more = True
        while more:
            content, more = _read_piece(layer, str(channel), timeout)
            size += len(content)
            if size > limit:
                raise RequestDataTooBig(f"the body of a request is above {limit:,} bytes, CONFIG['body_size']")
            file.write(content)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _read_piece(layer: ChannelLayer, channel: str, timeout: float) -> tuple[bytes, bool]:
    piece = _await_piece(layer, channel, timeout)
    if piece.get("closed"):
        raise RequestAborted
    content = piece.get("content") or b""  # without content it is empty (defect 12)
    if not isinstance(content, bytes):
        raise BadRequest(f"a piece of a request's body is {type(content).__name__}, it must be bytes")
    return content, bool(piece.get("more_content"))


def _await_piece(layer: ChannelLayer, channel: str, timeout: float) -> dict[str, Any]:
    give_up = time.monotonic() + timeout
    while (left := give_up - time.monotonic()) > 0:
        if not is_body_channel(channel):  # a normal channel, as tests of Channels 1.x have it
            _, content = layer.receive([channel], block=True)
        else:
            content = layer.take_piece(channel, min(left, _SLICE))
        if content is not None:
            return content
        if _is_orphaned(layer, channel):
            raise RequestAborted
    raise RequestTimeout


def _is_orphaned(layer: ChannelLayer, channel: str) -> bool:
    """Tell whether the interface process is gone that a body comes from."""
    if not is_body_channel(channel):
        return False
    address = body_address(channel)
    return address.is_http and not layer.pieces.alive(address.node)
