"""The floor of group sends: `python -m benchmarks.floor.broadcast PORT`, a loop of `transport.write` of a ready frame.

Sockets are upgraded by hand and then only written to; the sender's lines come over the Unix socket that BENCH_SOCKET
names. Nothing is checked, limited, buffered or closed.
"""

import asyncio
import base64
import hashlib
import os
import sys

import uvloop

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
members: "dict[Member, asyncio.Transport]" = {}


class Member(asyncio.Protocol):
    """A socket, in the group once it is upgraded."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP's is a Transport
        self.transport = transport
        self.head = b""

    def data_received(self, data: bytes) -> None:
        if self in members:
            return
        self.head += data
        if b"\r\n\r\n" in self.head:
            key = self.head.lower().index(b"sec-websocket-key: ") + 19
            digest = hashlib.sha1(self.head[key : key + 24] + _GUID, usedforsecurity=False).digest()
            members[self] = self.transport
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %s\r\n\r\n" % base64.b64encode(digest)
            )

    def connection_lost(self, error: Exception | None) -> None:
        members.pop(self, None)


async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write each line of a sender to all members."""
    while line := (await reader.readline()).rstrip(b"\n"):
        frame = bytes((0x81, len(line))) + line
        for transport in members.values():
            transport.write(frame)
    writer.close()


async def main() -> None:
    """Listen."""
    loop = asyncio.get_running_loop()
    senders = await asyncio.start_unix_server(send, os.environ["BENCH_SOCKET"])
    server = await loop.create_server(Member, "127.0.0.1", int(sys.argv[1]), backlog=2048)
    await asyncio.gather(server.serve_forever(), senders.serve_forever())


if __name__ == "__main__":
    uvloop.run(main())
