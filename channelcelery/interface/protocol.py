"""uvicorn's protocol for HTTP, with limits that it lacks.

On connections: how many, and how fast. On a request head: what it is, its size, and its time.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from channelcelery.interface.connection import Connection
from channelcelery.interface.events import RETRY_AFTER
from channelcelery.interface.handshake import Handshake, read_handshake
from channelcelery.interface.handshake_protocol import HandshakeProtocol
from channelcelery.interface.limits import Gate
from channelcelery.interface.request import FORWARDED, head_fault
from channelcelery.interface.wheel import Wheel

__all__ = ["LimitedHttpProtocol"]

#: Seconds for a client that was turned away to read why, and how many are given them.
_LINGER, _LINGERING = 1.0, 500
#: Bytes of a header beside its name and value: a colon, a space and the end of the line.
_AROUND = 4

_SAYS = {
    400: "The request cannot be understood.",
    429: "There are too many connections from your address.",
    431: "The request's headers are too many, or too large.",
    503: "There is no room now; try again.",
}


class LimitedHttpProtocol(HttpToolsProtocol):
    """Closes connections that are too many, or that begin a request and do not get on with it.

    Bytes of a head count together with what else is no content: trailers, and what is said of chunks. Beside them
    counts what came with them in one read, or it would have to be known where in it they begin.

    Args:
        gate: what there may be.
        wheel: has the time limits of sockets; those of one server share it.
    """

    def __init__(self, *args: Any, gate: Gate, wheel: Wheel | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = gate
        self._wheel = wheel or Wheel(gate.faults)
        self._let_in = False
        self._over = False  # it was answered without an application, and what else comes is nothing
        self._in_head = True
        self._head_size = 0
        self._empty = 0  # bytes since the last read with content, or with an end or a beginning
        self._got_on = False  # whether the read under way had any of these
        self._head_timer: asyncio.TimerHandle | None = None
        self._served: Any = None  # the request that an application answers, while others that came early wait

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a first request, if there is room for the connection."""
        super().connection_made(transport)
        status = self.gate.enter(self._address())
        self._let_in = status is None
        if status is None:
            self._await_head()
        else:
            self._turn_away(status)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting, and tell the request that is served: uvicorn tells the one that came last."""
        self._stop_timer()
        self._leave()
        served = self._served
        if served is not None and served is not self.cycle and not served.response_complete:
            served.disconnected = True
            served.message_event.set()
        super().connection_lost(exc)

    def _leave(self) -> None:
        if self._let_in:
            self._let_in = False
            self.gate.leave(self._address())

    def _address(self) -> str | None:
        return self.client[0] if self.client else None

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        self._await_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request line, which counts as a header does."""
        if self._over:
            return
        super().on_url(url)
        self._head_size += len(url)
        if self._head_size > self.gate.config.header_size:
            self._refuse_large_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head; to uvicorn a trailer is one, too (RFC 9110, section 6.5.1)."""
        if not self._in_head or self._over:
            return
        super().on_header(name, value)
        self._head_size += len(name) + len(value) + _AROUND
        if len(self.headers) > self.gate.config.header_count:
            self._refuse(431, "header_count", "a request had more headers than CONFIG['header_count']")
        elif self._head_size > self.gate.config.header_size:
            self._refuse_large_head()

    def on_headers_complete(self) -> None:
        """Stop waiting: what follows is uvicorn's, or a socket's."""
        self._stop_timer()
        self._in_head, self._got_on = False, True
        if not self._over and (fault := head_fault(self.headers, self.parser.get_http_version())):
            self._refuse(400, "request_invalid", "a request got 400: %s", fault)
        if self._over:
            return
        if not self.gate.believes(self._address()):
            self.headers[:] = [header for header in self.headers if not FORWARDED.fullmatch(header[0])]
        super().on_headers_complete()
        if not self.pipeline:
            self._served = self.cycle

    def on_body(self, body: bytes) -> None:
        """Take content."""
        self._got_on = True
        if not self._over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._got_on = True
        if not self._over:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Let the next request of the connection be served."""
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._served = following or self._served

    def data_received(self, data: bytes) -> None:
        """Take bytes, and end the connection if they are a head without an end, or trailers."""
        if self._over:
            return
        self._got_on = False
        super().data_received(data)
        self._empty = 0 if self._got_on else self._empty + len(data)
        self._await_something()
        if self._empty <= self.gate.config.header_size or self.transport.is_closing():
            return
        if self._in_head:
            self._refuse_large_head()
        else:  # its response may have begun
            self.gate.faults.note("header_size", "a body had trailers larger than CONFIG['header_size']")
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what uvicorn cannot read."""
        if not self._over:
            self._refuse(400, "request_invalid", "a request got 400: %s", msg)

    def handle_websocket_upgrade(self) -> None:
        """Make it a socket of ours, or end the connection if it is no right handshake."""
        if self._over:
            return
        served = self._served
        if self.flow.write_paused or not (served is None or served.response_complete):
            # what is left of the answer would go between the frames, and the socket not know that nothing is read
            self._refuse(400, "request_invalid", "a request got 400: %s", "a handshake came before an answer went")
            if self.flow.write_paused:
                self.transport.abort()
            return
        self._over = True
        match read_handshake(self.scope["method"], self.url, self.headers, self.config):
            case Handshake() as handshake:
                self._hand_over(handshake)
            case bytes(answer):
                self.transport.write(answer)
                self.transport.close()
            case None:
                self._refuse(400, "request_invalid", "a request got 400: %s", "it is no WebSocket handshake")

    def _hand_over(self, handshake: Handshake) -> None:
        """Let the connection be a socket's, and hold nothing of it any longer."""
        connection = Connection(self.transport, self._address(), self.config, self.gate, self.connections, self._wheel)
        protocol = HandshakeProtocol(connection, handshake)
        connection.carry(protocol, instead_of=self)
        scheme = "wss" if self.scheme == "https" else "ws"
        scope = handshake.scope(self.headers, scheme=scheme, server=self.server, client=self.client)
        # each of them refers to this, in a circle
        self.parser = self.flow = self.scope = None  # type: ignore[assignment]
        protocol.start(self.config.loaded_app, scope)

    def _refuse_large_head(self) -> None:
        self._refuse(431, "header_size", "a request's headers were larger than CONFIG['header_size']")

    def _refuse(self, status: int, reason: str, text: str, *values: object) -> None:
        """Count and answer a request that no application sees, and end the connection."""
        self.gate.faults.note(reason, text, *values)
        self._over = True
        served = self._served
        begun = served is not None and served.response_started and not served.response_complete
        # behind half of an answer, ours would be taken for the rest of it
        if not begun and not self.pipeline:
            self.transport.write(_answer(status))
        if served is not None and not served.response_complete:
            served.disconnected = True
            served.message_event.set()
        self.transport.close()

    def _turn_away(self, status: int) -> None:
        """Answer whatever comes, and let the client read that before the connection ends, or a reset takes it away."""
        self._over = True
        self.transport.write(_answer(status))
        lingering = len(self.connections) - self.gate.open
        if lingering > _LINGERING or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._head_timer = self.loop.call_later(_LINGER, self.transport.abort)

    def _await_head(self) -> None:
        self._stop_timer()
        self._in_head = self._got_on = True
        self._head_size = 0
        self._head_timer = self.loop.call_later(self.gate.config.head_timeout, self._give_up)

    def _await_something(self) -> None:
        """Go on waiting after bytes that are no head, such as empty lines: for any uvicorn stops its own waiting."""
        answered = self.cycle is None or self.cycle.response_complete
        if answered and not self._over and self._head_timer is None and self.timeout_keep_alive_task is None:
            self._head_timer = self.loop.call_later(self.gate.config.head_timeout, self._give_up)

    def _give_up(self) -> None:
        if self.headers is not None:
            text = "a request was not sent within CONFIG['head_timeout'], and its connection closed"
            self.gate.faults.note("head_timeout", text)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _answer(status: int) -> bytes:
    says = _SAYS[status].encode() + b"\n"
    again = b"retry-after: %b\r\n" % RETRY_AFTER if status in (429, 503) else b""
    head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n" % len(says)
    return STATUS_LINE[status] + head + again + b"\r\n" + says
