"""The HTTP protocol of uvicorn, with limits that it lacks: on what a request head is, on its size, and on its time."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_SECONDS", "MAX_HEAD", "LimitedHttpProtocol"]

#: Bytes of a request line and headers, at most, and of what else is no content: trailers, and what is said of chunks.
#: Beside them counts what came with them in one read, or it would have to be known where in it they begin.
MAX_HEAD = 64 * 1024
#: Seconds for a client to send them; a connection that says nothing is closed after these, too.
HEAD_SECONDS = 10.0


class LimitedHttpProtocol(HttpToolsProtocol):
    """Closes connections that begin a request and do not get on with it; sockets leave it with their handshake."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._empty = 0  # bytes since the last read with content, or with an end or a beginning
        self._got_on = False  # whether the read under way had any of these
        self._head_timer: asyncio.TimerHandle | None = None
        self._served: Any = None  # the request that an application answers, while others that came early wait

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting, and tell the request that is served: uvicorn tells the one that came last."""
        self._stop_timer()
        served = self._served
        if served is not None and served is not self.cycle and not served.response_complete:
            served.disconnected = True
            served.message_event.set()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        self._await_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head; to uvicorn a trailer is one, too (RFC 9110, section 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop waiting: what follows is uvicorn's, or a socket's."""
        self._stop_timer()
        self._in_head, self._got_on = False, True
        super().on_headers_complete()
        if not self.pipeline:
            self._served = self.cycle

    def on_body(self, body: bytes) -> None:
        """Take content."""
        self._got_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._got_on = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Let the next request of the connection be served."""
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._served = following or self._served

    def data_received(self, data: bytes) -> None:
        """Take bytes, and end the connection if they are a head without an end, or trailers."""
        self._got_on = False
        super().data_received(data)
        self._empty = 0 if self._got_on else self._empty + len(data)
        if self._empty <= MAX_HEAD or self.transport.is_closing():
            return
        if self._in_head:
            self.send_400_response("The request's headers are too large.")
        else:  # its response may have begun
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        """Make it a socket, or end the connection if the WebSocket library cannot read it: uvicorn would keep it."""
        super().handle_websocket_upgrade()
        protocol: Any = self.transport.get_protocol()
        if protocol is not self and not getattr(protocol, "handshake_initiated", True):
            self.send_400_response("The WebSocket handshake cannot be understood.")

    def _await_head(self) -> None:
        self._stop_timer()
        self._in_head = self._got_on = True
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
