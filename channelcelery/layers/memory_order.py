"""The order of messages within one process."""

import threading
import time
from collections.abc import Collection

from channelcelery.core.names import ReplyAddress
from channelcelery.core.order_state import OrderState
from channelcelery.core.ordering import Arrival, Entered, Left, Parked, Swept

__all__ = ["MemoryOrderStore"]


class MemoryOrderStore:
    """An `OrderStore` in this process; safe to share between threads.

    Args:
        stall: seconds that a connection may be held up by what is lost, at most.
    """

    def __init__(self, stall: float) -> None:
        self.state = OrderState(stall)
        self._lock = threading.Lock()

    def enter(self, address: ReplyAddress, arrival: Arrival, room: int = 0, channels: Collection[str] = ()) -> Entered:
        """Decide what becomes of a message that came; see `OrderStore.enter`."""
        with self._lock:
            return self.state.enter(address.token, arrival, time.monotonic(), room, channels)

    def leave(
        self,
        address: ReplyAddress,
        number: int,
        room: int = 0,
        channels: Collection[str] = (),
        again: Parked | None = None,
    ) -> Left:
        """Take note that a message has ended; see `OrderStore.leave`."""
        with self._lock:
            return self.state.leave(address.token, number, time.monotonic(), room, channels, again)

    def renew(self, running: Collection[tuple[ReplyAddress, int]]) -> None:
        """Give a sign of life of consumers that run."""
        with self._lock:
            for address, number in running:
                self.state.renew(address.token, number, time.monotonic())

    def sweep(self, limit: int) -> Swept:
        """Let connections that waited for too long go on; see `OrderStore.sweep`."""
        with self._lock:
            return self.state.sweep(time.monotonic(), limit)

    def forget(self, tokens: Collection[str]) -> None:
        """Keep no state for long of connections that closed."""
        with self._lock:
            for token in tokens:
                self.state.close(token, time.monotonic())

    def flush(self) -> None:
        """Drop what waits; see `OrderStore.flush`."""
        with self._lock:
            self.state.orders.clear()

    def close(self) -> None:
        """Do nothing: there are no connections."""
