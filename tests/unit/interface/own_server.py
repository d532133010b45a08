"""A client and a transport without I/O on either side of our own protocol, used as `fakes.FakeServer` is."""

import asyncio
import struct
from typing import Any

import uvicorn
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from channelcelery.interface.connection import Connection
from channelcelery.interface.faults import Faults
from channelcelery.interface.handshake import Handshake, read_handshake
from channelcelery.interface.handshake_protocol import HandshakeProtocol
from channelcelery.interface.socket_protocol import SocketProtocol
from channelcelery.interface.websocket import open_socket
from channelcelery.interface.wheel import Wheel
from channelcelery.interface.wire import own_wire
from tests.unit.interface.fakes import World

HEADERS = [
    (b"host", b"example.org"),
    (b"upgrade", b"websocket"),
    (b"connection", b"upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]


class OwnTransport:
    """Keeps what is written, and brings what the client sends while it is read."""

    def __init__(self, server: "OwnServer") -> None:
        self.server = server
        self.written: list[bytes] = []
        self.unread: list[bytes] = []
        self.reads = True
        self.is_closed = False
        self.aborted = 0
        self.buffered = 0

    def write(self, data: bytes) -> None:
        if self.server.gone is not None:
            raise self.server.gone
        assert not self.is_closed, "nothing is written to a connection that is closed"
        self.written.append(data)
        self.server.take(data)

    def set_protocol(self, protocol: Any) -> None:
        self.server.protocol = protocol

    def pause_reading(self) -> None:
        assert self.reads
        assert not self.is_closed
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        assert not self.is_closed
        self.reads = True
        asyncio.get_running_loop().call_soon(self.server.bring)

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self.server.lose)

    def abort(self) -> None:
        self.aborted += 1
        self.close()


class Writable:
    """Whether the client reads what it is sent."""

    def __init__(self, server: "OwnServer") -> None:
        self._server = server

    def clear(self) -> None:
        self._server.opened.pause_writing()

    def set(self) -> None:
        self._server.opened.resume_writing()


class OwnServer:
    """One connection under our own protocol; what was written shows as ASGI's events.

    Args:
        answers_closes: whether the client answers a closing frame.
        config: settings of the server.
    """

    def __init__(self, *, answers_closes: bool = True, **config: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self.pongs: list[bytes] = []
        self.pings: list[bytes] = []
        self.gone: Exception | None = None
        self.faults = Faults()
        self.connections: set[Any] = set()
        self.wheel = Wheel(self.faults)
        self.writable = Writable(self)
        self.protocol: HandshakeProtocol | SocketProtocol
        self.transport = OwnTransport(self)
        self._answers_closes = answers_closes
        self._client: Protocol | None = None
        self._lost: asyncio.Event | None = None
        self._config = uvicorn.Config(None, ws_max_size=2**21, **config)  # type: ignore[arg-type]
        self._config.ws_per_message_deflate = config.get("ws_per_message_deflate", False)

    def connect(
        self, world: World, scope: dict[str, Any], extensions: bytes = b"", application: Any = None
    ) -> asyncio.Task[None]:
        """Let a client connect; the task ends with its connection."""
        self._lost = asyncio.Event()
        offers = [(b"sec-websocket-extensions", extensions)] if extensions else []
        handshake = read_handshake("GET", b"/", [*HEADERS, *offers], self._config)
        assert isinstance(handshake, Handshake)
        transport: Any = self.transport
        connection = Connection(transport, "", self._config, world.around.gate, self.connections, self.wheel)
        asking = HandshakeProtocol(connection, handshake)
        connection.carry(asking, instead_of=asking)
        world.around.gate.enter("")

        async def opens(scope: Any, receive: Any, send: Any) -> None:
            wire = own_wire(scope)
            assert wire is not None
            wire.begin(open_socket(world.around, scope, wire))

        asking.start(application or opens, scope)
        return asyncio.ensure_future(self._until_lost())

    async def _until_lost(self) -> None:
        assert self._lost is not None
        await self._lost.wait()
        while self._has_session():
            await asyncio.sleep(0.001)

    def _has_session(self) -> bool:
        if isinstance(self.protocol, SocketProtocol):
            return self.protocol._inbound.session is not None
        return self.protocol._session is not None

    @property
    def opened(self) -> SocketProtocol:
        assert isinstance(self.protocol, SocketProtocol)
        return self.protocol

    def lose(self) -> None:
        """Have the connection end."""
        if self._lost is not None and not self._lost.is_set():
            self._lost.set()
            self.transport.is_closed = True
            self.protocol.connection_lost(None)

    # what the client sends

    def feed(self, data: bytes) -> None:
        self.transport.unread.append(data)
        self.bring()

    def bring(self) -> None:
        while self.transport.unread and self.transport.reads and not self.transport.is_closed:
            self.protocol.data_received(self.transport.unread.pop(0))

    def frame(self, opcode: int, payload: bytes, *, final: bool = True) -> None:
        self.feed(frame(opcode, payload, final=final))

    def text(self, value: str) -> None:
        self.frame(1, value.encode())

    def bytes(self, value: bytes) -> None:
        self.frame(2, value)

    def disconnect(self, code: int = 1006) -> None:
        if code == 1006:
            self.lose()
        else:
            self.frame(8, b"" if code == 1005 else Close(code, "").serialize())

    # what the client gets

    def take(self, data: bytes) -> None:
        if self._client is None:
            head, _, body = data.partition(b"\r\n\r\n")
            status, *lines = head.decode().split("\r\n")
            headers = [tuple(line.lower().split(": ")) for line in lines]
            number = int(status.split()[1])
            if number == 101:
                protocol = dict(headers).get("sec-websocket-protocol")
                self._client = Protocol(Side.CLIENT)
                if "sec-websocket-extensions" in dict(headers):
                    from websockets.extensions.permessage_deflate import PerMessageDeflate

                    self._client.extensions = [PerMessageDeflate(False, False, 12, 12)]
                self.sent.append({"type": "websocket.accept", "subprotocol": protocol, "headers": []})
            elif number == 403:
                self.sent.append({"type": "websocket.close"})
            else:
                encoded = [(name.encode(), value.encode()) for name, value in headers]
                self.sent.append({"type": "websocket.http.response.start", "status": number, "headers": encoded})
                self.sent.append({"type": "websocket.http.response.body", "body": body})
            return
        self._client.receive_data(data)
        for event in self._client.events_received():
            assert isinstance(event, Frame)
            self._take_frame(event)

    def _take_frame(self, frame: Frame) -> None:
        data = bytes(frame.data)
        if frame.opcode is Opcode.TEXT:
            self.sent.append({"type": "websocket.send", "text": data.decode()})
        elif frame.opcode is Opcode.BINARY:
            self.sent.append({"type": "websocket.send", "bytes": data})
        elif frame.opcode is Opcode.CLOSE:
            self.sent.append({"type": "websocket.close", "code": Close.parse(data).code})
            if self._answers_closes:
                asyncio.get_running_loop().call_soon(self.frame, 8, data)
        elif frame.opcode is Opcode.PING:
            self.pings.append(data)
        else:
            self.pongs.append(data)


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """Return one frame of a client; a mask of zeros leaves the payload as it is."""
    size = len(payload)
    head = bytes([final << 7 | opcode])
    if size < 126:
        return head + bytes([0x80 | size]) + bytes(4) + payload
    long = size > 0xFFFF
    return (
        head + (b"\xff" + struct.pack("!Q", size) if long else b"\xfe" + struct.pack("!H", size)) + bytes(4) + payload
    )
