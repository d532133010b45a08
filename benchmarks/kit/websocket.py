"""A small, fast WebSocket client: raw asyncio protocols and hand-made frames (RFC 6455).

The frames of one read are taken apart in one go. No extension is offered unless a caller does, and then only to see
what it costs to hold such sockets: compressed messages are not read. Clients have to mask what they send: the mask
here is four zero bytes, legal on the wire, and the server still does its unmasking.
"""

import array
import asyncio
import base64
import hashlib
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

__all__ = ["Connected", "OnClosed", "OnMessage", "WebSocket", "connect_many", "frame"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TRIES = 3


def frame(opcode: int, payload: bytes) -> bytes:
    """Return one final, masked frame."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


class WebSocket(asyncio.Protocol):
    """One client socket.

    Args:
        url: where it connects.
        opened: becomes this socket once the server has answered 101, or an error.
        on_message: called with this socket and each message.
        on_closed: called with this socket if it was open and the connection ended.
        headers: more lines of the request, each with its end.
    """

    __slots__ = (
        "buffer",
        "headers",
        "is_closed",
        "is_open",
        "key",
        "on_closed",
        "on_message",
        "opened",
        "parts",
        "sent_at",
        "seq",
        "transport",
        "url",
        "want",
    )

    def __init__(
        self,
        url: SplitResult,
        opened: "asyncio.Future[WebSocket]",
        on_message: "OnMessage",
        on_closed: "OnClosed",
        headers: bytes = b"",
    ) -> None:
        self.url = url
        self.headers = headers
        self.opened = opened
        self.on_message = on_message
        self.on_closed = on_closed
        self.buffer = b""
        self.parts: list[bytes] = []
        self.is_open = self.is_closed = False
        # for the mode that uses the socket: its last number, the text it waits for, and since when
        self.seq = 0
        self.want: bytes | None = None
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP's is a Transport
        self.transport = transport
        self.key = base64.b64encode(os.urandom(16))
        path = (self.url.path or "/") + (f"?{self.url.query}" if self.url.query else "")
        host = self.url.netloc.encode()
        transport.write(
            b"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nOrigin: http://%s\r\n%s\r\n"
            % (path.encode(), host, self.key, host, self.headers)
        )

    def connection_lost(self, error: Exception | None) -> None:
        was_open, self.is_open, self.is_closed = self.is_open, False, True
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"closed before 101: {error!r}"))
        elif was_open:
            self.on_closed(self)

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
            self.buffer = b""
        if not self.is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.buffer = head
                return
            self._read_answer(head)
        self._read_frames(data)

    def _read_answer(self, head: bytes) -> None:
        status = head.split(b"\r\n", 1)[0]
        accept = base64.b64encode(hashlib.sha1(self.key + _GUID, usedforsecurity=False).digest())
        if b" 101" in status and accept in head:
            self.is_open = True
            if not self.opened.done():
                self.opened.set_result(self)
            return
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(status.decode("latin1")))
        self.transport.close()

    def _read_frames(self, data: bytes) -> None:
        position, end = 0, len(data)
        while end - position >= 2:
            first, size = data[position], data[position + 1] & 127
            start = position + 2
            if size == 126:
                if end - position < 4:
                    break
                size, start = int.from_bytes(data[position + 2 : position + 4], "big"), position + 4
            elif size == 127:
                if end - position < 10:
                    break
                size, start = int.from_bytes(data[position + 2 : position + 10], "big"), position + 10
            if end - start < size:
                break
            payload = data[start : start + size]
            position = start + size
            if first & 0x80 and first & 15 in (1, 2):
                self.on_message(self, payload)
            else:
                self._read_other(first, payload)
        if position < end:
            self.buffer = data[position:]

    def _read_other(self, first: int, payload: bytes) -> None:
        match first & 15:
            case 0 | 1 | 2 as opcode:
                self.parts = [payload] if opcode else [*self.parts, payload]
                if first & 0x80:
                    whole, self.parts = b"".join(self.parts), []
                    self.on_message(self, whole)
            case 8:
                self.transport.write(frame(8, payload[:2]))
                self.transport.close()
            case 9:
                self.transport.write(frame(10, payload))

    def close(self) -> None:
        """Say goodbye and close."""
        if not self.is_closed:
            self.is_open = False
            self.transport.write(frame(8, b"\x03\xe8"))
            self.transport.close()


OnMessage = Callable[[WebSocket, bytes], None]
OnClosed = Callable[[WebSocket], None]


@dataclass(slots=True)
class Connected:
    """What came of opening many sockets.

    Args:
        sockets: those that are open.
        seconds: how long each of their handshakes took.
        errors: how often each error came, by its text.
    """

    sockets: list[WebSocket] = field(default_factory=list)
    seconds: "array.array[float]" = field(default_factory=lambda: array.array("d"))
    errors: dict[str, int] = field(default_factory=dict)


async def connect_many(
    url: str,
    count: int,
    concurrency: int,
    on_message: OnMessage,
    on_closed: OnClosed,
    timeout: float,
    *,
    headers: bytes = b"",
) -> Connected:
    """Open sockets, each tried three times.

    Args:
        url: where to; several with commas between them get sockets in turn.
        count: how many.
        concurrency: handshakes under way at most.
        on_message: called with a socket and each of its messages.
        on_closed: called with a socket that the server closed.
        timeout: seconds for one handshake.
        headers: more lines of each request, each with its end.
    """
    urls = [urlsplit(each) for each in url.split(",")]
    done, left = Connected(), iter(range(count))

    async def open_some() -> None:
        for number in left:
            for _ in range(_TRIES):
                begun = time.monotonic()
                try:
                    socket = await _connect(urls[number % len(urls)], on_message, on_closed, timeout, headers)
                except (OSError, TimeoutError) as error:
                    text = f"{type(error).__name__}: {error}"
                    done.errors[text] = done.errors.get(text, 0) + 1
                    await asyncio.sleep(0.1)
                else:
                    done.seconds.append(time.monotonic() - begun)
                    done.sockets.append(socket)
                    break

    await asyncio.gather(*[open_some() for _ in range(min(concurrency, count))])
    return done


async def _connect(
    url: SplitResult, on_message: OnMessage, on_closed: OnClosed, timeout: float, headers: bytes
) -> WebSocket:
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[WebSocket] = loop.create_future()
    transport, _ = await loop.create_connection(
        lambda: WebSocket(url, opened, on_message, on_closed, headers), url.hostname or "127.0.0.1", url.port or 80
    )
    try:
        return await asyncio.wait_for(opened, timeout)
    except BaseException:
        transport.abort()
        raise
