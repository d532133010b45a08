"""Echo, a closed loop: each socket sends its next text when the last one came back, compared byte for byte.

Or after a pause; and some of the texts may ask the server to be slow, to see what that costs the others.
"""

import array
import asyncio
import time
from argparse import Namespace
from dataclasses import dataclass, field
from typing import Any

from benchmarks.kit.figures import cpu_report, latencies, pids_with_client
from benchmarks.kit.procstat import snapshot
from benchmarks.kit.websocket import WebSocket, connect_many, frame

__all__ = ["echo"]

#: How a text begins that asks for a slow answer.
_SLOW = b"slow"


@dataclass(slots=True)
class Loop:
    """The state that all sockets share.

    Args:
        padding: what makes a text as long as it is to be.
        pause: seconds between an answer and the next text.
        slow: one text in so many asks for a slow answer, whose time does not count; none if 0.
        measuring: whether answers count.
        stopping: whether no more is sent.
        sent: texts, by all sockets.
        seconds: from sending to the answer, of those that count.
        wrong: answers that were not what was sent.
        closed: sockets that the server closed.
    """

    padding: bytes
    pause: float = 0.0
    slow: int = 0
    sent: int = 0
    measuring: bool = False
    stopping: bool = False
    seconds: "array.array[float]" = field(default_factory=lambda: array.array("d"))
    wrong: int = 0
    closed: list[WebSocket] = field(default_factory=list)

    def send(self, socket: WebSocket) -> None:
        """Send a socket's next text."""
        if self.stopping:
            return
        socket.seq += 1
        self.sent += 1
        is_slow = self.slow and self.sent % self.slow == 0
        socket.want = (_SLOW + b"%08d" if is_slow else b"%012d") % socket.seq + self.padding
        socket.sent_at = time.monotonic()
        socket.transport.write(frame(1, socket.want))

    def on_message(self, socket: WebSocket, payload: bytes) -> None:
        """Count an answer and go on."""
        now = time.monotonic()
        if payload != socket.want:
            self.wrong += 1
            return
        if self.measuring and not payload.startswith(_SLOW):
            self.seconds.append(now - socket.sent_at)
        socket.want = None
        if self.pause:
            asyncio.get_running_loop().call_later(self.pause, self.send, socket)
        else:
            self.send(socket)


async def echo(options: Namespace) -> dict[str, Any]:
    """Run one echo measurement and return its report."""
    loop = Loop(b"x" * max(0, options.size - 12), options.pause, options.slow)
    connected = await connect_many(
        options.url, options.conns, options.connect_concurrency, loop.on_message, loop.closed.append, options.timeout
    )
    for number, socket in enumerate(connected.sockets):
        # spread over a pause, or all at once
        delay = loop.pause * number / len(connected.sockets)
        asyncio.get_running_loop().call_later(delay, loop.send, socket)
    await asyncio.sleep(options.warmup)
    pids = pids_with_client(options.pids)
    before = snapshot(pids)
    loop.measuring, begun = True, time.monotonic()
    await asyncio.sleep(options.duration)
    loop.measuring, seconds = False, time.monotonic() - begun
    after = snapshot(pids)
    loop.stopping = True
    stalled = await _drain(connected.sockets, options.drain)
    for socket in connected.sockets:
        socket.close()
    messages = len(loop.seconds)
    return {
        "mode": "echo",
        "conns": options.conns,
        "connected": len(connected.sockets),
        "connect_errors": connected.errors,
        "size": options.size,
        "seconds": round(seconds, 3),
        "messages": messages,
        "msgs_per_s": round(messages / seconds, 1),
        "latency": latencies(loop.seconds),
        "wrong_payload": loop.wrong,
        "stalled": stalled,
        "closed_early": len(loop.closed),
        "cpu": cpu_report(before, after, messages),
    }


async def _drain(sockets: list[WebSocket], seconds: float) -> int:
    """Wait for the last answers, and return how many sockets got none: a lost message each."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and any(socket.want is not None and socket.is_open for socket in sockets):
        await asyncio.sleep(0.02)
    return sum(socket.want is not None for socket in sockets)
