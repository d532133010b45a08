"""An interface on real uvicorn in a thread, a stand-in for its workers, and clients that misbehave."""

import base64
import contextlib
import itertools
import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn
from kombu import Connection
from websockets.sync.client import ClientConnection, connect

from channelcelery.conf import LayerConfig, layer_config
from channelcelery.core.envelope import decode_batch, decode_item
from channelcelery.interface.app import InterfaceApplication
from channelcelery.interface.server import Binding, make_server
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from tests.servers import free_port, wait_until

EVENTS = ("connect", "receive", "disconnect")
_prefixes = (f"t{number}:" for number in itertools.count(1))


@dataclass
class StandIn:
    """Reads what an interface publishes, as a worker would, and answers when a test says so.

    Args:
        layer: answers through it.
        broker: URL of the broker.
        prefix: of its queues.
    """

    layer: ChannelLayer
    broker: str
    prefix: str
    _connection: Connection | None = None
    _got: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def _take(self, channel: str) -> list[dict[str, Any]]:
        if self._connection is None:
            self._connection = Connection(self.broker)
        got = self._got.setdefault(channel, [])
        queue = f"{self.prefix}{channel if '.' in channel else f'websocket.{channel}'}"
        amqp_channel = self._connection.default_channel
        amqp_channel.queue_declare(queue=queue, durable=True, auto_delete=False, exclusive=False)
        while (message := amqp_channel.basic_get(queue, no_ack=True)) is not None:
            body = message.body if isinstance(message.body, bytes) else message.body.encode("latin-1")
            got += [decode_item(item).content for item in decode_batch(body).items]
        return got

    def next(self, channel: str, timeout: float = 5.0) -> dict[str, Any]:
        """Return the next message of a channel; one without a dot is a websocket channel."""
        got = wait_until(lambda: self._take(channel), timeout=timeout, what=f"a message on {channel}", interval=0.005)
        return got.pop(0)

    def waiting(self, channel: str) -> list[dict[str, Any]]:
        """Return what came on a channel and was not asked for yet."""
        return self._take(channel)

    def reply(self, message: dict[str, Any], **content: Any) -> None:
        """Send to a message's reply channel."""
        self.layer.send(message["reply_channel"], content)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()


@dataclass
class Interface:
    """A running interface."""

    application: InterfaceApplication
    server: uvicorn.Server
    thread: threading.Thread
    port: int
    worker: StandIn

    @property
    def layer(self) -> ChannelLayer:
        return self.worker.layer

    @property
    def dropped(self) -> dict[str, int]:
        return dict(self.application.dropped)

    @property
    def sockets(self) -> int:
        """How many connections the server holds."""
        return len(self.server.server_state.connections)

    def holds_bytes(self) -> bool:
        """Tell whether the server holds bytes that a client does not take."""
        return any(protocol.transport.get_write_buffer_size() for protocol in self.server.server_state.connections)

    def url(self, path: str = "/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def connect(self, path: str = "/", **options: Any) -> ClientConnection:
        """Open a socket, as a context manager; without a worker that answers, this waits."""
        return connect(self.url(path), compression=None, proxy=None, close_timeout=1, **options)

    @contextlib.contextmanager
    def connecting(self, path: str = "/", **options: Any) -> Iterator["Connecting"]:
        """Open a socket in a thread, so that the test can play the worker."""
        with Connecting(self, path, options) as attempt:
            yield attempt

    @contextlib.contextmanager
    def accepted(self, path: str = "/", **options: Any) -> Iterator[tuple[ClientConnection, dict[str, Any]]]:
        """Open a socket and accept it; gives the client and the connect message."""
        with self.connecting(path, **options) as attempt:
            message = self.worker.next("connect")
            self.worker.reply(message, accept=True)
            with attempt.client() as client:
                yield client, message

    def stop(self, timeout: float = 15.0) -> None:
        """End the server as SIGTERM does."""
        self.server.should_exit = True
        self.thread.join(timeout)
        assert not self.thread.is_alive(), f"the server did not end within {timeout} s"


class Connecting:
    """A handshake under way in a thread."""

    def __init__(self, interface: Interface, path: str, options: dict[str, Any]) -> None:
        self._interface, self._path, self._options = interface, path, options
        self._client: ClientConnection | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._client = self._interface.connect(self._path, **self._options).__enter__()
        except Exception as error:
            self.error = error

    def client(self, timeout: float = 10.0) -> ClientConnection:
        """Return the open socket."""
        self._thread.join(timeout)
        assert self._client is not None, f"it was not opened: {self.error!r}"
        return self._client

    def status(self, timeout: float = 10.0) -> int:
        """Return the HTTP status with which it was refused."""
        self._thread.join(timeout)
        assert self.error is not None, "it was opened"
        return int(self.error.response.status_code)  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.join(10)
        if self._client is not None:
            self._client.close()


@contextlib.contextmanager
def running(
    settings: Any,
    *,
    backend: str = "InMemory",
    broker: str = "memory://",
    routing: Any = None,
    proxies: Sequence[str] = (),
    **config: Any,
) -> Iterator[Interface]:
    """Run an interface for the length of a `with` block.

    Args:
        settings: pytest-django's fixture.
        backend: "InMemory" or "Redis".
        broker: URL of the broker, the one that the settings name.
        routing: the layer's ROUTING.
        proxies: whose forwarded headers are believed.
        config: the layer's CONFIG.
    """
    config = {"http": "off", "prefix": next(_prefixes), **config}
    entry = {"BACKEND": f"channelcelery.layers.{backend}ChannelLayer", "CONFIG": config, "ROUTING": routing}
    settings.CHANNEL_LAYERS = {"default": entry}
    former = channel_layers.set("default", None)
    parsed: LayerConfig = layer_config("default", entry)
    layer = channel_layers["default"]
    application = InterfaceApplication(allow_local=True)
    port = free_port()
    server = make_server(application, parsed, Binding(port=port), proxies=proxies, faults=application.faults)
    thread = threading.Thread(target=server.run, name="interface", daemon=True)
    worker = StandIn(layer, "memory://", parsed.prefix)
    interface = Interface(application, server, thread, port, worker)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), what="the server to start")
        yield interface
    finally:
        interface.stop()
        worker.close()
        layer.close()
        channel_layers.set("default", former)


class RawClient:
    """A WebSocket client that writes what it is told to, right or wrong, and reads only when asked.

    Args:
        port: of the server.
        headers: lines added to the handshake; a Host among them replaces ours.
        receive_buffer: bytes that the kernel keeps for it.
    """

    def __init__(
        self, port: int, path: str = "/", headers: Sequence[bytes] = (), receive_buffer: int | None = None
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(10)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        lines = [f"GET {path} HTTP/1.1".encode()]
        if not any(line.lower().startswith(b"host:") for line in headers):
            lines.append(b"Host: 127.0.0.1")
        key = base64.b64encode(os.urandom(16))
        lines += [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"]
        lines += [b"Sec-WebSocket-Key: " + key, *headers, b"", b""]
        self.socket.sendall(b"\r\n".join(lines))
        self._received = b""

    def status(self) -> int:
        """Wait for the answer to the handshake and return its HTTP status, or 0 for a closed connection."""
        while b"\r\n\r\n" not in self._received:
            with contextlib.suppress(ConnectionResetError):
                if data := self.socket.recv(65536):
                    self._received += data
                    continue
            return 0
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return int(head.split()[1])

    def frame(self, opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, reserved: int = 0) -> None:
        """Send a frame of any kind."""
        size = len(payload)
        head = bytes([final << 7 | reserved << 4 | opcode])
        if size < 126:
            length = bytes([size])
        elif size <= 0xFFFF:
            length = b"\x7e" + struct.pack("!H", size)
        else:
            length = b"\x7f" + struct.pack("!Q", size)
        if masked:
            # a mask of zeros leaves the payload as it is
            head += bytes([length[0] | 0x80]) + length[1:] + b"\x00" * 4
        else:
            head += length
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(head + payload)

    def close_code(self) -> int | None:
        """Read until the server closes, and return the code that it gave, or None if it gave none."""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                self._received += data
        position, code = 0, None
        while position + 2 <= len(self._received):
            opcode, size = self._received[position] & 0x0F, self._received[position + 1] & 0x7F
            position += 2
            if size == 126:
                (size,) = struct.unpack_from("!H", self._received, position)
                position += 2
            elif size == 127:
                (size,) = struct.unpack_from("!Q", self._received, position)
                position += 8
            if opcode == 8 and size >= 2:
                (code,) = struct.unpack_from("!H", self._received, position)
            position += size
        return code

    def reset(self) -> None:
        """Vanish: the server gets a reset instead of an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()
