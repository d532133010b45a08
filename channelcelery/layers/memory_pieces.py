"""The pieces of long HTTP bodies within one process."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from channelcelery.core.names import ReplyAddress
from channelcelery.layers.pieces import GONE, MAX_PIECES

__all__ = ["MemoryInterfacePieces", "MemoryWorkerPieces"]


@dataclass(slots=True)
class _Exchange:
    """What is under way of one request, and when it is forgotten."""

    body: deque[bytes] = field(default_factory=deque)
    credits: int = 0
    forgotten: float = 0.0


class MemoryWorkerPieces:
    """A `WorkerPieces` in this process; safe to share between threads.

    Args:
        expiry: seconds that what nobody takes is kept.
        is_alive: tells whether an interface process gave a sign of life in time.
    """

    def __init__(self, expiry: float, is_alive: Callable[[str], bool]) -> None:
        self._expiry, self._is_alive = expiry, is_alive
        self._exchanges: dict[str, _Exchange] = {}
        self._changed = threading.Condition()

    def take_body(self, address: ReplyAddress, timeout: float) -> bytes | None:
        """Wait for the next piece of a request's body; see `WorkerPieces.take_body`."""
        with self._changed:
            self._changed.wait_for(lambda: self._of(address.token).body, timeout)
            waiting = self._of(address.token).body
            return waiting.popleft() if waiting else None

    def put_body(self, address: ReplyAddress, content: bytes) -> bool:
        """Put a piece where the reader of a body takes it; see `WorkerPieces.put_body`."""
        return self.put(address.token, content)

    def take_credits(self, address: ReplyAddress, timeout: float) -> int:
        """Wait for leave to send more pieces; see `WorkerPieces.take_credits`."""
        with self._changed:
            self._changed.wait_for(lambda: self._of(address.token).credits, timeout)
            found = self._of(address.token)
            credits = found.credits
            if credits != GONE:
                found.credits = 0
            return credits

    def alive(self, node: str) -> bool:
        """Tell whether an interface process gave a sign of life in time."""
        return self._is_alive(node)

    def close(self) -> None:
        """Do nothing: there are no connections."""

    # for the interface's side

    def put(self, token: str, content: bytes) -> bool:
        """Put a piece of a body; see `InterfacePieces.put_body`."""
        with self._changed:
            exchange = self._renewed(token)
            if len(exchange.body) >= MAX_PIECES:
                return False
            exchange.body.append(content)
            self._changed.notify_all()
            return True

    def grant(self, token: str, credits: int) -> None:
        """Let the worker send more pieces; see `InterfacePieces.grant`."""
        with self._changed:
            exchange = self._renewed(token)
            if GONE not in (exchange.credits, credits):
                exchange.credits += credits
            else:
                exchange.credits = GONE
            self._changed.notify_all()

    def drop(self, token: str) -> None:
        """Delete what waits of a body; see `InterfacePieces.drop_pieces`."""
        with self._changed:
            self._of(token).body.clear()

    def _of(self, token: str) -> _Exchange:
        found = self._exchanges.get(token)
        return _Exchange() if found is None or found.forgotten <= time.monotonic() else found

    def _renewed(self, token: str) -> _Exchange:
        now = time.monotonic()
        # in the order of their last change, so that the oldest are in front
        while self._exchanges and next(iter(self._exchanges.values())).forgotten <= now:
            del self._exchanges[next(iter(self._exchanges))]
        exchange = self._exchanges.pop(token, None) or _Exchange()
        exchange.forgotten = now + self._expiry
        self._exchanges[token] = exchange
        return exchange


class MemoryInterfacePieces:
    """An `InterfacePieces` in this process, for one event loop.

    Args:
        worker: the workers' side.
    """

    def __init__(self, worker: MemoryWorkerPieces) -> None:
        self._worker = worker

    async def put_body(self, token: str, content: bytes) -> bool:
        """Put the next piece of a request's body; see `InterfacePieces.put_body`."""
        return self._worker.put(token, content)

    async def grant(self, token: str, credits: int) -> None:
        """Let the worker send more pieces; see `InterfacePieces.grant`."""
        self._worker.grant(token, credits)

    async def drop_pieces(self, token: str) -> None:
        """Delete what waits of a request's body; see `InterfacePieces.drop_pieces`."""
        self._worker.drop(token)

    async def close(self) -> None:
        """Do nothing: there are no connections."""
