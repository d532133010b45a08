"""A WebSocket's handshake as HTTP: `websockets` says what is wrong with it, and writes the answers."""

import logging
from typing import Any
from urllib.parse import unquote

import uvicorn
from websockets import datastructures
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, Side
from websockets.server import ServerProtocol

from channelcelery.interface.events import RETRY_AFTER
from channelcelery.interface.frames import Frames

__all__ = ["Handshake", "read_handshake"]

Headers = list[tuple[bytes, bytes]]

_logger = logging.getLogger("uvicorn.error")
#: Bytes of a path with its query, which is in every message of the socket.
_PATH = 8_192
#: The headers that make a request a handshake (RFC 6455, section 4.1); the Origin is looked at by `Origins`.
_OF_HANDSHAKES = frozenset(
    {
        b"connection",
        b"upgrade",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    }
)
#: As uvicorn's own protocols compress, where its settings say that they may.
_DEFLATE = ServerPerMessageDeflateFactory(
    server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
)


def read_handshake(method: str, target: bytes, headers: Headers, config: uvicorn.Config) -> "Handshake | bytes | None":
    """Return a right handshake, the answer to a wrong one, or None if it is no request that may be one.

    Args:
        method: the request's.
        target: the path with its query, as it came.
        headers: as in an ASGI scope, free of control characters.
        config: the server's settings.
    """
    if method != "GET" or len(target) > _PATH or not target.isascii() or _has_body(headers):
        return None
    fields = datastructures.Headers()
    for name, value in headers:
        if name in _OF_HANDSHAKES:
            fields[name.decode("latin-1")] = value.decode("latin-1")
    extensions = [_DEFLATE] if config.ws_per_message_deflate else []
    protocol = ServerProtocol(extensions=extensions, max_size=config.ws_max_size, logger=_logger)
    response = protocol.accept(Request(target.decode("ascii"), fields))
    right = response.status_code == 101
    return Handshake(protocol, target, response, config.ws_max_size) if right else response.serialize()


def _has_body(headers: Headers) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


class Handshake:
    """One right request for a WebSocket, until it is answered.

    Args:
        protocol: what found it right.
        target: the path with its query, as it came.
        response: what accepts it.
        max_size: bytes of a message that the socket may take.
    """

    __slots__ = ("_max_size", "_protocol", "_response", "_target")

    def __init__(self, protocol: ServerProtocol, target: bytes, response: Response, max_size: int) -> None:
        self._protocol = protocol
        self._target = target
        self._response = response
        self._max_size = max_size

    def scope(self, headers: Headers, **connection: Any) -> dict[str, Any]:
        """Return the ASGI scope, as uvicorn has it.

        Args:
            headers: of the request.
            connection: what is known of the connection.
        """
        raw_path, _, query_string = self._target.partition(b"?")
        names = b",".join(value for name, value in headers if name == b"sec-websocket-protocol").decode("latin-1")
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "path": unquote(raw_path.decode("ascii")),
            "raw_path": raw_path,
            "query_string": query_string,
            "headers": headers,
            "subprotocols": [name.strip() for name in names.split(",")] if names else [],
            "root_path": "",
            "extensions": {},
            **connection,
        }

    def acceptance(self, subprotocol: str | None) -> bytes:
        """Return the answer that opens the socket."""
        if subprotocol:
            self._response.headers["Sec-WebSocket-Protocol"] = subprotocol
        return self._response.serialize()

    def refusal(self, status: int) -> bytes:
        """Return an answer that opens none: 403, 429, 500 or 503."""
        text = {403: "", 500: "Internal Server Error"}.get(status, "There is no room now; try again.\n")
        response = self._protocol.reject(status, text)
        if status in (429, 503):
            response.headers["Retry-After"] = RETRY_AFTER.decode()
        return response.serialize()

    def frames(self) -> Frames:
        """Return what reads and writes frames after the acceptance, and holds nothing of the request."""
        # not the one that read the request: it would hold the request as long as the socket is open
        protocol = Protocol(Side.SERVER, max_size=self._max_size, logger=_logger)
        protocol.extensions = self._protocol.extensions
        return Frames(protocol)
